"""Market data: importing, caching, merging and checking tapes, and a synthetic market."""

from autohedge.market.book_reader import BookMessages, read_messages
from autohedge.market.growing_rows import GrowingRows
from autohedge.market.live_store import LiveStore
from autohedge.market.live_writer import LiveStoreWriter
from autohedge.market.loading import open_tape, reopen, synthesize
from autohedge.market.merge import tape_of
from autohedge.market.quality import StreamReport, check, check_stream, write_parquet
from autohedge.market.sources import TapeSource, parse_source
from autohedge.market.synthetic import SyntheticSpec
from autohedge.market.tape import Kind, Origin, Rows, Stream, Tape

__all__ = [
    "BookMessages",
    "GrowingRows",
    "Kind",
    "LiveStore",
    "LiveStoreWriter",
    "Origin",
    "Rows",
    "Stream",
    "StreamReport",
    "SyntheticSpec",
    "Tape",
    "TapeSource",
    "check",
    "check_stream",
    "open_tape",
    "parse_source",
    "read_messages",
    "reopen",
    "synthesize",
    "tape_of",
    "write_parquet",
]
