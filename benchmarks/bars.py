"""Row `bars`: one-minute bars of all trades of a tape against polars, and one live print into its bar."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from autohedge.market.bar_aggregator import BarAggregator, BarSource, make_bars
from autohedge.market.bar_spec import BarSpec
from autohedge.market.stream import Kind
from benchmarks import session
from benchmarks.row import Row, Spent, Timed, clocked, interleaved

BOUND_NS, AIM_NS, LIVE_BOUND_US = 8.0, 4.0, 1.0
ROUNDS = 9
BATCHES, BATCH = 100, 1_000

_SEED = 11
_SOURCE = BarSource(Kind.TRADES)
_SPEC = BarSpec.of("1m")

Columns = dict[str, Any]


def measure(quotes: int) -> list[Row]:
    """Measures both. Raises AssertionError if polars makes other bars."""
    trades = _trades(quotes)
    return [_batch(trades), _live(trades)]


def _trades(quotes: int) -> Columns:
    """Returns a trade at the mid of each valid quote of the tape, with sides that cannot be predicted."""
    rows = session.tape(quotes).rows
    good = (rows.bid > 0) & (rows.ask >= rows.bid) & (rows.ask < np.inf)
    rng = np.random.Generator(np.random.PCG64(_SEED))
    return {
        "ts": rows.ts[good],
        "price": (rows.bid[good] + rows.ask[good]) / 2.0,
        "size": rows.bid_size[good],
        "side": rng.choice(np.array([-1, 1], np.int8), int(good.sum())),
    }


def _batch(trades: Columns) -> Row:
    frame = pl.DataFrame(trades)
    made = make_bars(_SPEC, _SOURCE, trades)
    closes = np.concatenate([made.finished["close"], made.forming["close"]])
    assert np.array_equal(_by_polars(frame)["close"].to_numpy(), closes), "the bars differ"
    spent = interleaved(
        {
            "bars": _timed(lambda: make_bars(_SPEC, _SOURCE, trades)),
            "polars": _timed(lambda: _by_polars(frame)),
        },
        ROUNDS,
    )
    cpu = Timed.cpu(spent["bars"])
    wall = {name: Timed.wall(runs) for name, runs in spent.items()}
    each = 1e9 / len(frame)
    figure = f"{cpu.median * each:.2f} ns (least {cpu.least * each:.2f})"
    note = (
        f"processor time; wall {wall['bars'].median * each:.2f} (least {wall['bars'].least * each:.2f}), polars on "
        f"all cores {wall['polars'].median * each:.2f} (least {wall['polars'].least * each:.2f}); {len(closes):,} bars"
    )
    return Row(
        "bars, a trade", f"<= {BOUND_NS:g} ns (aim {AIM_NS:g})", figure, cpu.median * each <= BOUND_NS, note
    )


def _timed(action: Callable[[], object]) -> Callable[[], Spent]:
    return lambda: clocked(action)


def _by_polars(frame: pl.DataFrame) -> pl.DataFrame:
    price, size, side = pl.col("price"), pl.col("size"), pl.col("side")
    return (
        frame.lazy()
        # Before the grouping, in which expressions are several times slower.
        .with_columns(
            pl.from_epoch("ts", "ns"),
            (price * size).alias("notional"),
            pl.when(side > 0).then(size).otherwise(0.0).alias("buy_volume"),
            pl.when(side < 0).then(size).otherwise(0.0).alias("sell_volume"),
        )
        .group_by_dynamic("ts", every="1m")
        .agg(
            price.first().alias("open"),
            price.max().alias("high"),
            price.min().alias("low"),
            price.last().alias("close"),
            size.sum().alias("volume"),
            pl.col("notional", "buy_volume", "sell_volume").sum(),
            pl.len().alias("count"),
        )
        .collect()
    )


def _live(trades: Columns) -> Row:
    count = min(BATCHES * BATCH, len(trades["ts"]))
    prints = list(
        zip(*(trades[name][:count].tolist() for name in ("ts", "price", "size", "side")), strict=True)
    )
    aggregator = BarAggregator(_SPEC, _SOURCE)
    aggregator.add_trade(*prints[0])  # loads the machine code

    def batch(start: int) -> Spent:
        def action() -> None:
            for each in prints[start : start + BATCH]:
                aggregator.add_trade(*each)

        return clocked(action)

    batches = [batch(start) for start in range(0, count, BATCH)]
    cpu, wall = Timed.cpu(batches), Timed.wall(batches)
    us_each = 1e6 / BATCH
    figure = f"{cpu.median * us_each:.3f} us (least {cpu.least * us_each:.3f})"
    note = f"processor time, in batches of {BATCH}; wall {wall.median * us_each:.3f}"
    return Row(
        "bars, a live print", f"<= {LIVE_BOUND_US:g} us", figure, cpu.median * us_each <= LIVE_BOUND_US, note
    )
