"""Trades, as properties draw them, and the bars made of them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from autohedge.market.bar_aggregator import AggregatedBars, BarAggregator, BarSource, as_dicts, make_bars
from autohedge.market.bar_spec import BarSpec
from autohedge.market.stream import Kind

S = 10**9
START_NS = 1_704_067_200 * S  # a Monday, and the first of a month
TRADES = BarSource(Kind.TRADES)
Columns = dict[str, Any]

SPECS = st.sampled_from(
    [
        BarSpec.of("1s"),
        BarSpec.of("7s", fill="carry"),
        BarSpec.of("1w"),
        BarSpec.of("1M", fill="carry"),
        BarSpec.of("3 ticks"),
        BarSpec.of("5 volume"),
        BarSpec.of("600 dollars"),
        BarSpec.of("5m", "09:30-16:00 America/New_York"),
        BarSpec.of("3h", "22:00-05:00 Europe/Berlin", "carry"),
        BarSpec.of("2 ticks", "09:30-16:00 America/New_York"),
    ]
)
_GAPS_NS = st.sampled_from([0, 0, 1, S // 2, S - 1, S, 3 * S, 60 * S, 3_600 * S, 40_000 * S, 200_000 * S])
_PRICES = st.sampled_from([100.0, 100.1, 99.9, 101.25, 98.5, 0.0, -1.0, float("nan"), float("inf")])
_SIZES = st.sampled_from([0.1, 0.7, 1.0, 2.5, 10.0, 0.0, -1.0, float("nan")])


@st.composite
def trades(draw: st.DrawFn) -> Columns:
    rows = draw(st.lists(st.tuples(_GAPS_NS, _PRICES, _SIZES, st.sampled_from([-1, 0, 1])), max_size=40))
    gaps, price, size, side = ([row[at] for row in rows] for at in range(4))
    return columns_of(gaps, price, size, side)  # type: ignore[arg-type]


def columns_of(gaps: list[int], price: list[float], size: list[float], side: list[int]) -> Columns:
    return {
        "ts": START_NS + np.cumsum(np.array(gaps, np.int64)),
        "price": np.array(price),
        "size": np.array(size),
        "side": np.array(side, np.int8),
    }


def walk(rows: int, gap_ns: int = S) -> Columns:
    """Returns a seeded walk of good trades."""
    rng = np.random.Generator(np.random.PCG64(5))
    return {
        "ts": START_NS + np.cumsum(rng.integers(0, 2 * gap_ns, rows)),
        "price": np.round(100.0 + np.cumsum(rng.normal(0.0, 0.05, rows)), 2),
        "size": np.round(rng.exponential(1.0, rows) + 0.001, 3),
        "side": rng.choice(np.array([-1, 0, 1], np.int8), rows),
    }


def shown(made: AggregatedBars) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, int]]:
    return as_dicts(made.finished), as_dicts(made.forming), made.skipped


def whole(every: str, columns: Columns, session: str | None = None, fill: str = "none") -> AggregatedBars:
    return make_bars(BarSpec.of(every, session, fill), TRADES, columns)


def one_by_one(spec: BarSpec, columns: Columns) -> AggregatedBars:
    aggregator = BarAggregator(spec, TRADES)
    rows = zip(*(columns[name].tolist() for name in ("ts", "price", "size", "side")), strict=True)
    finished = [aggregator.add_trade(*row) for row in rows]
    none = aggregator.add({name: column[:0] for name, column in columns.items()})
    return AggregatedBars(np.concatenate([none, *finished]), aggregator.forming, aggregator.skipped)


def in_two_parts(spec: BarSpec, columns: Columns, cut: int) -> AggregatedBars:
    aggregator = BarAggregator(spec, TRADES)
    parts = [slice(0, cut), slice(cut, None)]
    finished = [aggregator.add({name: column[part] for name, column in columns.items()}) for part in parts]
    return AggregatedBars(np.concatenate(finished), aggregator.forming, aggregator.skipped)


def made_bars() -> str:
    """Returns bars of every kind, made of one walk, as text with all bits of their numbers."""
    columns = walk(300, 2 * S)
    kinds: list[tuple[str, str | None, str]] = [
        ("5s", None, "carry"),
        ("50 ticks", None, "none"),
        ("20 volume", None, "none"),
    ]
    kinds += [("2e3 dollars", None, "none"), ("1m", "00:02-00:07 UTC", "none"), ("1M", None, "none")]
    return str([shown(whole(every, columns, session, fill)) for every, session, fill in kinds])
