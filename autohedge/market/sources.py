"""The sources that `--tape` names: a file, and the symbol and bar length in its name."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from autohedge.core.errors import Misconfigured
from autohedge.core.text import bare_name
from autohedge.core.units import NS_PER_S

_UNITS_NS = {
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
    "w": 604_800 * NS_PER_S,
}
_ARCHIVES = (".gz", ".zip")
_TABLES = (".csv", ".tsv", ".txt", ".parquet")
_DATED = re.compile(r"(?P<symbol>.+?)_\d{8}(?!\d)")
_KINDS = "quotes|bars|trades|l2|l2snap|book|funding|liquidations"
_SUFFIXED = re.compile(rf"(?P<symbol>.+?)(_ohlcv?)?(_\d+[smhdw])?(_({_KINDS}))?")
_INTERVAL = re.compile(r"_(?P<count>[1-9]\d*)(?P<unit>[smhdw])(?=_|$)")


@dataclass(frozen=True, slots=True)
class TapeSource:
    """A file of the tape; `select` is the symbol that the user gave for it, if any."""

    path: Path
    select: str | None = None

    @property
    def symbol(self) -> str:
        """The symbol that the user gave, else the one in the file's name."""
        return self.select or symbol_of(self.path)

    @property
    def interval_ns(self) -> int:
        """The bar length in the file's name, 0 if it has none."""
        return interval_of(self.path)


def parse_source(value: str) -> TapeSource:
    """Parses a `--tape` value, `FILE` or `SYMBOL=FILE`.

    A value that names an existing file or store is that one, even with a `=` in it. A symbol with a slash is accepted
    only if the file after it exists, because the whole value may be a path. Raises Misconfigured if either
    side of the `=` is empty.
    """
    symbol, sign, path = value.partition("=")
    if not sign or Path(value).exists() or _is_path(symbol, path):
        return _plain(value)
    if not symbol or not path:
        raise Misconfigured(f"--tape {value}: one side of the = is empty; write SYMBOL=FILE")
    return TapeSource(Path(path), symbol)


def symbol_of(path: Path) -> str:
    """Returns the symbol in a file's name: the part before a date of 8 digits or a known suffix."""
    stem = _stem(path)
    match = _DATED.match(stem) or _SUFFIXED.fullmatch(stem)
    return match["symbol"] if match else stem


def interval_of(path: Path) -> int:
    """Returns the bar length in nanoseconds in a name such as `AAPL_1d_bars.parquet`, else 0."""
    match = _INTERVAL.search(_stem(path))
    return int(match["count"]) * _UNITS_NS[match["unit"]] if match else 0


def is_same_symbol(first: str, second: str) -> bool:
    """Returns whether two spellings name one symbol; case, separators and spaces around do not count."""
    return bare_name(first.strip()) == bare_name(second.strip())


def _stem(path: Path) -> str:
    """Returns the name without its suffix, and without that of the file in an archive: a.csv.gz is a."""
    if path.suffix.lower() in _ARCHIVES:
        path = path.with_suffix("")
        return path.stem if path.suffix.lower() in _TABLES else path.name
    return path.stem


def _plain(value: str) -> TapeSource:
    if not value:
        raise Misconfigured("--tape is empty; write FILE or SYMBOL=FILE")
    return TapeSource(Path(value))


def _is_path(symbol: str, path: str) -> bool:
    separators = {os.sep, os.altsep or os.sep, "/"}
    return any(separator in symbol for separator in separators) and not Path(path).is_file()
