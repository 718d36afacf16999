"""A file of a tape: its hash, and which of its symbols is wanted."""

from dataclasses import dataclass
from functools import partial
from hashlib import blake2b, file_digest
from pathlib import Path

from autohedge.core.errors import Misconfigured
from autohedge.core.open_files import require_open_files
from autohedge.core.text import one_line
from autohedge.market.sources import is_same_symbol

_SYMBOLS_SHOWN = 5
SYMBOL_CHARS = 60
"""The characters of a file's symbol that a message shows."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A file to load; `content_hash` is the hash of its bytes.

    `interval_ns` is the length of its bars, 0 to measure it; `select` is the symbol to load if the file has
    several.
    """

    path: Path
    content_hash: str
    interval_ns: int = 0
    select: str | None = None


def require_file(path: Path) -> None:
    """Raises Misconfigured if there is no file at this path."""
    if not path.exists():
        raise Misconfigured(f"{path}: no such file; check the name")
    if not path.is_file():
        raise Misconfigured(f"{path}: not a file; name a Parquet or CSV file")


def hash_file(path: Path) -> str:
    """Returns the BLAKE2b-256 of a file's bytes, in hex.

    Raises Misconfigured if the file does not exist or cannot be read.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            return file_digest(file, partial(blake2b, digest_size=32)).hexdigest()
    except OSError as error:
        require_open_files(error)
        raise Misconfigured(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def select_symbol(symbols: list[str], request: FileRequest) -> str | None:
    """Returns which of a file's symbols to load, None for all rows; raises Misconfigured if that is not clear."""
    if len(symbols) <= 1:
        return None
    if request.select in symbols:
        return request.select
    alike = [symbol for symbol in symbols if is_same_symbol(symbol, request.select or "")]
    if len(alike) == 1:
        return alike[0]
    shown = ", ".join(one_line(symbol, SYMBOL_CHARS) for symbol in symbols[:_SYMBOLS_SHOWN])
    more = ", …" if len(symbols) > _SYMBOLS_SHOWN else ""
    raise Misconfigured(
        f"{request.path}: holds {len(symbols)} symbols ({shown}{more}); name one with SYMBOL=FILE"
    )
