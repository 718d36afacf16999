"""The known answers of bars, as programs that share no code with this one computed them."""

import json
import math
from pathlib import Path
from typing import Any

from autohedge.market.bar_aggregator import AggregatedBars, as_dicts, bars_of
from autohedge.market.bar_input import open_bar_input
from autohedge.market.bar_spec import BarSpec
from autohedge.market.sources import TapeSource
from autohedge.market.stream import Kind

Case = dict[str, Any]

COUNT = 16
SMALLEST = ("kraken/XBTUSDT_trades.parquet", "15m")
_EXACT = ("start_ns", "end_ns", "open", "high", "low", "close", "count", "partial")


def cases(shared: Path) -> list[Case]:
    found: list[Case] = json.loads((shared / "spec/signals/bars.json").read_text())
    return found


def made(shared: Path, case: Case) -> AggregatedBars:
    stream = open_bar_input([TapeSource(shared / "data" / case["tape"])], Kind(case["from"]))
    return bars_of(stream, BarSpec.of(case["every"], case["session"], case["fill"]))


def differences(case: Case, bars: AggregatedBars) -> list[str]:
    """Returns how made bars differ from the answer; prices, times and counts must be equal."""
    finished = as_dicts(bars.finished)
    if len(finished) != case["bars"]:
        return [f"{len(finished)} bars, not {case['bars']}"]
    pairs = [(finished[at], wanted) for at, wanted in zip(case["at"], case["rows"], strict=True)]
    pairs += [(as_dicts(bars.forming)[0], case["forming"])]
    found = [
        f"{wanted['start_ns']} {name}: {bar[name]}, not {value}"
        for bar, wanted in pairs
        for name, value in wanted.items()
        if not _equal(name, bar[name], value)
    ]
    sums = {name: math.fsum(bar[name] for bar in finished) for name in case["all"]}
    return found + [name for name, total in case["all"].items() if not _close(sums[name], total)]


def compare_smallest(shared: Path) -> None:
    """Prints whether the smallest case is reproduced, with or without the compiler."""
    case = next(each for each in cases(shared) if (each["tape"], each["every"]) == SMALLEST)
    print(f"bars of the smallest tape: {differences(case, made(shared, case)) or 'reproduced'}")


def _equal(name: str, found: Any, wanted: Any) -> bool:
    if name in _EXACT or found is None or wanted is None:
        return bool(found == wanted)
    return _close(found, wanted)


def _close(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=1e-9)
