"""Rows `streams` and `streams memory`: runs on quotes, trades and the book of one instrument."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from autohedge.app import as_read
from autohedge.config import Settings
from autohedge.market import Tape, open_tape, parse_source
from autohedge.strategies import Book, Kind, Signal, Strategy
from benchmarks.process import Ran, run_process
from benchmarks.row import Row, Spent, Timed, clocked, interleaved
from benchmarks.session import NEVER_TRADES, InMemoryRecord, play, settings

UNREAD_BOUND_NS, QUOTES_BOUND_NS, BOOK_BOUND_NS, MEMORY_BOUND = 2.0, 10.0, 70.0, 1.5
ROWS, ROUNDS, LONGER, LEVELS = 10_000_000, 5, 10, 5
KINDS = ("quotes", "trades", "l2")

_SHARED = Path(__file__).parents[2] / "shared/data/binance/usdm"
_STRATEGY = "strategy.name=benchmarks.streams:ImbalanceReader"
_NS_PER_S = 1e9
_SEQUENCES = ("first_seq", "last_seq", "prev_seq")
_NAMES = ("unread rows", "run on quotes alone", "run that reads the book")


class ImbalanceReader(Strategy):
    """Reads the imbalance of the book after every message."""

    reads = Kind.BOOK

    def on_book(self, book: Book) -> Signal | None:
        """Returns no signal."""
        return Signal.BUY if book.imbalance(LEVELS) > 1.0 else None


def measure(quotes: int) -> list[Row]:
    """Measures runs on recorded data that is repeated to ten million rows; `quotes` is not used."""
    if not _SHARED.is_dir():
        return [Row(name, "", "", met=None, note=f"recorded data is absent: {_SHARED}") for name in _NAMES]
    with tempfile.TemporaryDirectory() as folder:
        files = _repeated(Path(folder), ROWS)
        return [_unread(files), *_whole(files)]


def memory(quotes: int) -> list[Row]:
    """Measures peak anonymous memory of a run that reads the book, against a tape ten times as long."""
    name, bound = "streams, memory", f"<= {MEMORY_BOUND:g}x for {LONGER}x the rows"
    if not _SHARED.is_dir():
        return [Row(name, bound, "", met=None, note=f"recorded data is absent: {_SHARED}")]
    with tempfile.TemporaryDirectory() as folder:
        short, long = (_process(Path(folder) / str(rows), rows) for rows in (ROWS // LONGER, ROWS))
    ratio = long.anonymous_mb / short.anonymous_mb
    note = (
        f"anonymous {short.anonymous_mb:.0f} -> {long.anonymous_mb:.0f} MB, "
        f"wall {short.wall_s:.1f} -> {long.wall_s:.1f} s, tape cache warm; {ROWS:,} rows"
    )
    return [Row(name, bound, f"{ratio:.2f}x", ratio <= MEMORY_BOUND, note)]


def _process(folder: Path, rows: int) -> Ran:
    folder.mkdir()
    files = [str(path) for path in _repeated(folder, rows).values()]
    run_process(files, folder, _STRATEGY)  # fills the tape cache
    return run_process(files, folder, _STRATEGY)


def _unread(files: dict[str, Path]) -> Row:
    """Measures what rows cost that no strategy reads: ten times as many as quotes."""
    others = [files["trades"], files["l2"]]
    count = sum(_rows(path) for path in others)
    thinned = files["quotes"].with_name("BTCUSDT_thin_quotes.parquet")
    _thin(files["quotes"], thinned, count // LONGER)
    wanted = settings(NEVER_TRADES)
    tapes = {"alone": _opened(thinned), "beside": _opened(thinned, *others)}
    assert len(tapes["alone"]) == len(tapes["beside"])
    variants = {name: _played(wanted, tape) for name, tape in tapes.items()}
    spent = interleaved(variants, ROUNDS)
    alone, beside = (Timed.cpu(spent[name]).median for name in variants)
    ns = (beside - alone) / count * _NS_PER_S
    note = f"processor time; {count:,} rows of trades and the book beside {len(tapes['alone']):,} quotes"
    return Row(
        _NAMES[0], f"<= {UNREAD_BOUND_NS:g} ns more a row", f"{ns:.2f} ns", ns <= UNREAD_BOUND_NS, note
    )


def _whole(files: dict[str, Path]) -> list[Row]:
    """Measures whole runs, per row of all kinds."""
    rows = sum(_rows(path) for path in files.values())
    tape = _opened(*files.values())
    found = []
    plans = ((_NAMES[1], NEVER_TRADES, QUOTES_BOUND_NS), (_NAMES[2], [_STRATEGY], BOOK_BOUND_NS))
    for name, overrides, bound_ns in plans:
        wanted = settings(overrides)
        spent = interleaved({name: _played(wanted, as_read(wanted, tape))}, ROUNDS)[name]
        ns, least = (Timed.cpu(spent).median / rows * _NS_PER_S, Timed.cpu(spent).least / rows * _NS_PER_S)
        note = f"processor time, least {least:.1f}; {rows:,} rows of quotes, trades and the book"
        found.append(Row(name, f"<= {bound_ns:g} ns a row", f"{ns:.1f} ns", ns <= bound_ns, note))
    return found


def _played(wanted: Settings, tape: Tape) -> Callable[[], Spent]:
    return lambda: clocked(partial(play, wanted, tape, InMemoryRecord()))


def _opened(*paths: Path) -> Tape:
    return open_tape([parse_source(f"BTCUSDT={path}") for path in paths])


def _rows(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def _thin(source: Path, target: Path, count: int) -> None:
    frame = pl.read_parquet(source)
    chosen = pl.int_range(0, count, eager=True) * len(frame) // count
    frame[chosen].write_parquet(target)


def _repeated(folder: Path, rows: int) -> dict[str, Path]:
    """Writes the recorded files again and again, one after the other in time; returns their paths by kind."""
    frames = {kind: pl.read_parquet(_SHARED / f"BTCUSDT_20240808_{kind}.parquet") for kind in KINDS}
    copies = -(-rows // sum(len(frame) for frame in frames.values()))
    first = min(int(frame["ts_ns"][0]) for frame in frames.values())
    span_ns = max(int(frame["ts_ns"][-1]) for frame in frames.values()) - first + 1
    paths = {}
    for kind, frame in frames.items():
        paths[kind] = folder / f"BTCUSDT_{rows}_{kind}.parquet"
        pl.concat([_moved(frame, copy, span_ns) for copy in range(copies)]).write_parquet(paths[kind])
    return paths


def _moved(frame: pl.DataFrame, copy: int, span_ns: int) -> pl.DataFrame:
    """Returns a copy of some rows that comes later, with sequence numbers that go on."""
    steps = {"ts_ns": span_ns, "event": 1 << 32, **dict.fromkeys(_SEQUENCES, 1 << 44)}
    names = [name for name in frame.columns if name in steps]
    return frame.with_columns(pl.col(name) + copy * steps[name] for name in names)
