"""Feeds a live store of all kinds while a run in this process trades it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.app import wall_run
from autohedge.app.compose import tape_for
from autohedge.app.wall_run import LaunchOptions
from autohedge.config import Settings
from autohedge.core.ids import seeded_random
from autohedge.core.results import RunReport
from autohedge.market import Kind, LiveStoreWriter, StoreStream, Stream, open_streams, parse_source
from autohedge.runtime.observers import NullObserver
from tests.market.store_factory import stream_part

USDM = Path("data") / "binance" / "usdm"
SYMBOL = "BTCUSDT"
Append = Callable[[LiveStoreWriter], bool]
"""Appends some rows; returns whether there were any."""


def recorded_streams(shared: Path, quotes: int) -> list[Stream]:
    """Returns the first quotes of a recorded market, the trades and book messages of that time, and made funding."""
    names = [f"{SYMBOL}_20240808_{kind}.parquet" for kind in ("quotes", "trades", "l2")]
    first, *others = open_streams([parse_source(str(shared / USDM / name)) for name in names])
    end_ns = int(first.columns["ts"][quotes])
    cut = [stream_part(each, 0, int(each.columns["ts"].searchsorted(end_ns))) for each in (first, *others)]
    funding = Stream.of(
        SYMBOL,
        {"ts": np.linspace(end_ns - 10**10, end_ns, 5, dtype=np.int64), "rate": [1e-4] * 5},
        kind=Kind.FUNDING,
    )
    return [*cut, funding]


def writer_of(folder: Path, streams: Sequence[Stream]) -> LiveStoreWriter:
    """Creates, or goes on with, the store of some streams."""
    symbols = [stream.symbol for stream in streams if stream.kind is Kind.QUOTES]
    others = [StoreStream.of(stream) for stream in streams if stream.kind is not Kind.QUOTES]
    return LiveStoreWriter(folder, symbols, streams=others)


def at_own_pace(streams: Sequence[Stream], seed: str) -> Append:
    """Appends a random number of rows of a random stream."""
    draw = seeded_random(seed, "pace")

    def append(writer: LiveStoreWriter) -> bool:
        left = [each for each in streams if writer.rows_of(*each.key) < len(each)]
        if left:
            stream = draw.choice(left)
            start = writer.rows_of(*stream.key)
            writer.append(stream_part(stream, start, start + draw.choice((1, 3, 40, 400))))
        return bool(left)

    return append


def in_time_order(streams: Sequence[Stream], seed: str) -> Append:
    """Appends a random number of rows of all streams, in the order of files."""
    draw = seeded_random(seed, "batches")
    ranks = {kind: rank for rank, kind in enumerate(Kind)}
    parts = [
        np.stack(
            [stream.columns["ts"], np.full(len(stream), ranks[stream.kind]), np.full(len(stream), number)]
        )
        for number, stream in enumerate(streams)
    ]
    joined = np.concatenate(parts, axis=1)
    left = joined[2][np.lexsort((joined[2], joined[1], joined[0]))].tolist()

    def append(writer: LiveStoreWriter) -> bool:
        count = draw.choice((1, 5, 60, 900))
        batch, left[:] = left[:count], left[count:]
        while batch:
            number = batch[0]
            run = next((at for at, each in enumerate(batch) if each != number), len(batch))
            stream = streams[number]
            start = writer.rows_of(*stream.key)
            writer.append(stream_part(stream, start, start + run))
            batch = batch[run:]
        return bool(left)

    return append


def trade_growing(wanted: Settings, folder: Path, streams: Sequence[Stream], append: Append) -> RunReport:
    """Trades a store that gets rows at each wake of the run, until there are no more."""
    writer = writer_of(folder, streams)

    class Feed(NullObserver):
        """Appends rows at each wake."""

        def on_progress(self) -> None:
            if writer.closed:
                return
            if not append(writer):
                writer.close()

    tape = tape_for(wanted, [parse_source(str(folder))], growing=True)
    return wall_run.start(wanted, tape, LaunchOptions(), seeded=True, observers=[Feed])


def traded(report: RunReport) -> dict[str, Any]:
    """Returns what a run has done: its fills, codes and money."""
    names = ("quotes", "codes", "buys", "sells", "cash", "equity", "fees", "state", "first_ns", "last_ns")
    values: dict[str, Any] = {name: getattr(report, name) for name in names}
    return values | {"fills": [bytes(fill) for fill in report.fills], "equity_series": report.equity_series}
