"""The known answers of indicators, as programs that share no code with this one computed them."""

import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.market.bar_series import BarSeries, bar_series
from autohedge.market.loading import open_streams
from autohedge.market.sources import TapeSource
from autohedge.strategies.indicators import IndicatorSpec, Values, compute, parse_indicator
from tests.strategies.series_factory import bar_by_bar, bits, defaults, named, part, walk

Case = dict[str, Any]

COUNT = 80
SMALLEST = "kraken/XBTUSDT_ohlc_bars.parquet"


def cases(shared: Path) -> list[Case]:
    found: list[Case] = json.loads((shared / "spec/signals/indicators.json").read_text())
    return found


@cache
def bars_of_tape(path: Path) -> BarSeries:
    (stream,) = open_streams([TapeSource(path)])
    return bar_series(stream)


def spec_of(case: Case) -> IndicatorSpec:
    return parse_indicator(f"{case['name']}({', '.join(f'{k}={v}' for k, v in case['set'].items())})")


def differences(shared: Path, case: Case) -> list[str]:
    """Returns the columns that differ from the answer, each with the first difference."""
    bars, spec = bars_of_tape(shared / "data" / case["tape"]), spec_of(case)
    if len(bars.close) != case["bars"]:
        return [f"{len(bars.close)} bars, not {case['bars']}"]
    (found,) = compute([spec], bars)
    if found.keys() != case["values"].keys():
        return [f"columns {', '.join(found)}"]
    pairs = {name: _difference(case, name, values) for name, values in found.items()}
    return [f"{case['tape']} {spec.text} {name}: {what}" for name, what in pairs.items() if what]


def _difference(case: Case, name: str, values: Values) -> str:
    # A trend of 0 stands for none.
    defined = np.flatnonzero(values) if name == "trend" else np.flatnonzero(~np.isnan(values))
    if defined[0] != case["first"][name]:
        return f"first at {defined[0]}, not {case['first'][name]}"
    for place, wanted in zip(case["at"], case["values"][name], strict=True):
        if not _is_close(values[place], wanted, case["abs"][name]):
            return f"{values[place]} at {place}, not {wanted}"
    wanted, total = case["all"][name], math.fsum(values[defined].tolist())
    if len(defined) != wanted["defined"]:
        return f"{len(defined)} values, not {wanted['defined']}"
    spread = case["abs"][name] * len(defined)
    return "" if _is_close(total, wanted["sum"], spread) else f"a sum of {total}, not {wanted['sum']}"


def _is_close(found: float, wanted: float | None, absolute: float) -> bool:
    if wanted is None:
        return math.isnan(found)
    return abs(found - wanted) <= 1e-9 * abs(wanted) + absolute


def hashes(bars: BarSeries) -> str:
    """Returns the hash of the bits of each column, of whole series and bar by bar, as text."""
    specs = defaults()
    whole, single = named(specs, compute(specs, bars)), bar_by_bar(specs, part(bars, 0, 60))
    return str([(name, _hash(bits(whole[name]), bits(single[name]))) for name in whole])


def _hash(*contents: bytes) -> str:
    return hashlib.blake2b(b"".join(contents), digest_size=8).hexdigest()


def made_indicators() -> str:
    """Returns the bits of all indicators over one walk, as text."""
    return hashes(walk(150, still=True))


def smallest_indicators(shared: Path) -> str:
    """Returns the bits of all indicators over the smallest tape, as text."""
    return hashes(bars_of_tape(shared / "data" / SMALLEST))


def compare_smallest(shared: Path) -> None:
    """Prints whether the cases of the smallest tape are reproduced, with or without the compiler."""
    wrong = [line for case in cases(shared) if case["tape"] == SMALLEST for line in differences(shared, case)]
    print(f"indicators of the smallest tape: {wrong or 'reproduced'}")
