"""Market data: importing, caching, merging and checking tapes, and a synthetic market."""

from autohedge.market.book_messages import BookMessages
from autohedge.market.book_reader import read_messages
from autohedge.market.growing_rows import GrowingRows
from autohedge.market.live_store import LiveStore
from autohedge.market.live_writer import LiveStoreWriter
from autohedge.market.loading import open_streams, open_tape, reopen, reopen_streams, synthesize
from autohedge.market.quality import StreamReport, check, check_stream, write_parquet
from autohedge.market.reads import Reads, read_by, tape_of
from autohedge.market.rows import Rows
from autohedge.market.sources import TapeSource, parse_source
from autohedge.market.store_cursor import StoreCursor
from autohedge.market.store_files import StoreStream
from autohedge.market.stream import Kind, Origin, Stream
from autohedge.market.synthetic import SyntheticSpec
from autohedge.market.tape import Tape

__all__ = [
    "BookMessages",
    "GrowingRows",
    "Kind",
    "LiveStore",
    "LiveStoreWriter",
    "Origin",
    "Reads",
    "Rows",
    "StoreCursor",
    "StoreStream",
    "Stream",
    "StreamReport",
    "SyntheticSpec",
    "Tape",
    "TapeSource",
    "check",
    "check_stream",
    "open_streams",
    "open_tape",
    "parse_source",
    "read_by",
    "read_messages",
    "reopen",
    "reopen_streams",
    "synthesize",
    "tape_of",
    "write_parquet",
]
