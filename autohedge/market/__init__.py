"""Market data: importing, caching, merging and checking tapes, and a synthetic market."""

from autohedge.market.check import StreamReport, check, check_stream, write_parquet
from autohedge.market.merge import tape_of
from autohedge.market.opening import open_tape, reopen, synthesize
from autohedge.market.sources import TapeSource, parse_source
from autohedge.market.synthetic import Recipe
from autohedge.market.tape import Kind, Origin, Rows, Stream, Tape

__all__ = [
    "Kind",
    "Origin",
    "Recipe",
    "Rows",
    "Stream",
    "StreamReport",
    "Tape",
    "TapeSource",
    "check",
    "check_stream",
    "open_tape",
    "parse_source",
    "reopen",
    "synthesize",
    "tape_of",
    "write_parquet",
]
