"""Row `day`: memory and open files over a simulated day at 2 000 quotes a second on 200 symbols."""

import gc
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autohedge.app import engine_for
from autohedge.core.events import RunStarted
from autohedge.core.ids import nonce_from_seed
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.journal import Journal
from autohedge.journal.durable import DurableStore
from autohedge.market import Rows, SyntheticSpec, synthesize
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.runtime.wall import WallRuntime, in_loop
from benchmarks import session
from benchmarks.row import Row
from benchmarks.wall import EAGER, QUOTES_PER_S, SYMBOLS

HOURS, HOUR_NS = 24, 3_600 * 10**9
SETTLED_HOURS = 4  # caches and buffers still fill before; growth counts from here on
GROWTH_BOUND_BYTES = 400


@dataclass(frozen=True, slots=True)
class Sample:
    """The state after a simulated hour: anonymous memory, open files, fills so far."""

    hour: int
    anonymous_bytes: int
    files: int
    fills: int


def measure(quotes: int) -> list[Row]:
    """Measures the growth of anonymous memory; only the list of fills for the results may grow."""
    samples = _samples()
    early, late = samples[SETTLED_HOURS], samples[-1]
    fills = late.fills - early.fills
    grown = late.anonymous_bytes - early.anonymous_bytes
    each = grown / max(fills, 1)
    note = (
        f"{early.anonymous_bytes / 1e6:.0f} -> {late.anonymous_bytes / 1e6:.0f} MB from hour {early.hour} to "
        f"{late.hour}, {fills} fills in between; open files {early.files} -> {late.files}"
    )
    bound = f"<= {GROWTH_BOUND_BYTES:,} B a fill"
    met = each <= GROWTH_BOUND_BYTES and late.files <= early.files
    return [Row("growth over a day", bound, f"{each:,.0f} B a fill", met, note)]


def _samples() -> list[Sample]:
    symbols = tuple(f"S{number:03}/USD" for number in range(SYMBOLS))
    settings = session.settings(
        [*EAGER, "momentum.min_edge_bps=6", "risk.max_daily_loss_pct=100", "account.initial_cash=1e9"]
    )
    with tempfile.TemporaryDirectory() as folder:
        hour = synthesize(SyntheticSpec(symbols, 1.0, QUOTES_PER_S / SYMBOLS, 0.0, seed=1))
        rows = _day(hour.rows, Path(folder))
        engine, nonce = engine_for(settings, hour), nonce_from_seed(0)
        # The source of the mapped copies would stay the largest part of the memory that is measured.
        del hour
        gc.collect()
        venue = SimulatedVenue(VenueModel.of(settings), lots_of(settings, symbols), rows, nonce=nonce)
        store = DurableStore(Path(folder) / "journal.jsonl")
        runtime = VirtualRuntime(engine, venue, rows, Journal.begin(store, {"benchmark": True}), clock=venue)
        first_ns, samples = int(rows.ts[0]), list[Sample]()

        def watch() -> None:
            hours = (engine.now_ns - first_ns) // HOUR_NS
            if hours >= len(samples):
                samples.append(_sample(len(samples), engine))

        # Without a clock: the loop of a live run, as fast as it goes.
        in_loop(WallRuntime(engine, runtime, None, first_ns - 1, store, watch).run(RunStarted(nonce)))
        store.close()
        return [*samples, _sample(len(samples), engine)]


def _day(hour: Rows, folder: Path) -> Rows:
    """Repeats the hour over the day in mapped files, whose pages do not count as anonymous memory."""
    columns = {}
    for name in ("ts", "lane", "bid", "ask", "bid_size", "ask_size"):
        column = getattr(hour, name)
        shape = (len(column) * HOURS,)
        mapped = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", column.dtype, shape)
        for repeat in range(HOURS):
            part = slice(repeat * len(column), (repeat + 1) * len(column))
            mapped[part] = column + repeat * HOUR_NS if name == "ts" else column
        mapped.flush()
        columns[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return replace(hour, row=None, **columns)


def _sample(hour: int, engine: Engine) -> Sample:
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    anonymous = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
    return Sample(
        hour,
        int(anonymous) * 1024,
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        len(engine.stats.fill_lines),
    )
