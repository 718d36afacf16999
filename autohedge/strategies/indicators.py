"""Technical indicators over bars: of whole series, and bar by bar with the same bits.

    >>> parse_indicator("macd").text
    'macd(fast=12, slow=26, signal=9)'

`compute` takes all bars at once, an `IndicatorSet` one after another.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.core.text import did_you_mean, one_line
from autohedge.kernels.indicator_set import KERNELS, add_bar
from autohedge.kernels.indicators import INDICATOR, INPUTS
from autohedge.kernels.jit import resolved
from autohedge.market.bar_series import BarSeries
from autohedge.strategies.indicator_table import DEFINITIONS, IndicatorDefinition, IndicatorParameter

Values = NDArray[np.float64]
BarValues = tuple[float, ...]
"""What indicators read of one bar, in the order of `BarSeries`."""

MOST_BARS = 1_000_000
"""The longest period."""
MOST_WIDTH = 1_000_000
AGO_MOST = 250
"""How many bars back an `IndicatorSet` has the values at least."""

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_WRITTEN_CHARS = 60
_BLOCK = 65_536  # bars whose series stay in the cache of a processor


@dataclass(frozen=True)
class IndicatorSpec:
    """An indicator with its parameters; None stands for a parameter that is left out."""

    definition: IndicatorDefinition
    values: tuple[float | None, ...]

    @property
    def name(self) -> str:
        """The indicator's name."""
        return self.definition.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return self.definition.columns

    @cached_property
    def params(self) -> dict[str, float]:
        """The parameters that are not left out, by name."""
        pairs = zip(self.definition.parameters, self.values, strict=True)
        return {each.name: value for each, value in pairs if value is not None}

    @cached_property
    def text(self) -> str:
        """The indicator as it is written in full, such as `rsi(period=14)`."""
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.params.items())})"

    def name_of(self, column: str, written: str = "") -> str:
        """Returns the name of a column's values: `rsi(period=14)`, or with the column if there are several.

        `written` stands for the indicator, else its text in full.
        """
        indicator = written or self.text
        return indicator if len(self.columns) == 1 else f"{indicator}.{column}"

    @cached_property
    def first(self) -> dict[str, int]:
        """The place of the first defined value of each column, on bars without gaps."""
        return dict(zip(self.columns, self.definition.first(*self.values), strict=True))

    @property
    def warmup(self) -> int:
        """The number of bars after which all columns have a value."""
        return max(self.first.values()) + 1

    @property
    def settled(self) -> int:
        """The number of bars after which the values that began it weigh less than 1e-6."""
        return self.definition.settled(*self.values)

    @property
    def lookback(self) -> int:
        """The number of bars before the current one that the next step reads."""
        periods = (value for name, value in self.params.items() if name != "width")
        return int(max(periods, default=1)) + 1


def parse_indicator(text: str) -> IndicatorSpec:
    """Returns the indicator that a text such as `rsi`, `rsi()`, `rsi(14)` or `rsi(period=14)` names.

    Raises Misconfigured for an unknown name or parameter, and for a value that the parameter cannot have.
    """
    written = one_line(text, _WRITTEN_CHARS)
    call = _CALL.fullmatch(text)
    if call is None:
        raise Misconfigured(f"indicator {written}: write a name and its parameters, as in rsi(period=14)")
    definition = DEFINITIONS.get(call[1])
    if definition is None:
        meant = did_you_mean(call[1], DEFINITIONS) or "see autohedge indicators --list"
        raise Misconfigured(f"indicator {one_line(call[1], _WRITTEN_CHARS)}: not known; {meant}")
    values = _values(definition, _arguments(definition, call[2] or "", written), written)
    return IndicatorSpec(definition, values)


def require_distinct(specs: Sequence[IndicatorSpec]) -> None:
    """Raises Misconfigured if an indicator is named twice with the same parameters."""
    texts = [spec.text for spec in specs]
    for text in texts:
        if texts.count(text) > 1:
            raise Misconfigured(f"indicator {text}: named twice; keep one of the two")


def compute(specs: Sequence[IndicatorSpec], bars: BarSeries) -> list[dict[str, Values]]:
    """Returns the columns of each indicator over whole series, as views of one array."""
    states, series = _states(specs)
    count = len(bars.close)
    data = np.empty((series, count))
    for row, values in enumerate(bars):
        data[row] = values
    for start in range(0, count, _BLOCK):
        for state, spec in zip(states, specs, strict=True):
            KERNELS[spec.definition.kind](state, data, start, min(start + _BLOCK, count))
    return [
        {name: data[int(state["first"]) + at] for at, name in enumerate(spec.columns)}
        for state, spec in zip(states, specs, strict=True)
    ]


class IndicatorSet:
    """Indicators over bars that come one by one.

        indicators = IndicatorSet([parse_indicator("macd"), parse_indicator("rsi")])
        indicators.add((session, high, low, close, volume, buy_volume, sell_volume))
        indicators["macd.signal"], indicators["rsi"]
        indicators.value("rsi", ago=1)      # one bar before

    A value is named by the indicator as it was written, or in full, with `.` and the column where there are several.
    """

    def __init__(self, specs: Sequence[IndicatorSpec], written: Sequence[str] = ()) -> None:
        """`written` are other names of the indicators. Raises Misconfigured if one is named twice."""
        require_distinct(specs)
        self.specs = tuple(specs)
        self._states, series = _states(specs)
        self._kept = max([AGO_MOST + 1, *(spec.lookback for spec in specs)])
        self._data = np.full((series, 2 * self._kept), np.nan)
        self._end = self._data.shape[1]
        self._place = self._dropped = 0
        self._series = _names(specs, written, self._states)
        # Compiled code is loaded here, and not at the first bar of a run on a clock.
        self._add_bar = resolved(add_bar, self._states, self._data, 0, *[math.nan] * INPUTS)

    def add(self, bar: BarValues) -> None:
        """Adds the next bar: its values in the order of `BarSeries`, NaN for a volume that is not known."""
        place = self._place
        if place == self._end:
            place = self._drop_oldest()
        session, high, low, close, volume, bought, sold = bar
        self._add_bar(self._states, self._data, place, session, high, low, close, volume, bought, sold)
        self._place = place + 1

    @property
    def count(self) -> int:
        """The number of bars so far."""
        return self._dropped + self._place

    def _drop_oldest(self) -> int:
        """Makes room, and returns the next place; kernels look back by at most the bars that are kept."""
        self._data[:, : self._kept] = self._data[:, self._end - self._kept :]
        self._dropped += self._end - self._kept
        return self._kept

    def __getitem__(self, name: str) -> float:
        return self.value(name)

    def value(self, name: str, ago: int = 0) -> float:
        """Returns a value at the newest bar, or `ago` bars before it; NaN if there is none.

        Raises KeyError for a name that is not among the indicators, ValueError unless `ago` is from 0 to 250.
        """
        if not 0 <= ago <= AGO_MOST:
            raise ValueError(f"ago must be from 0 to {AGO_MOST}, not {ago}")
        series = self._series.get(name)
        if series is None:
            raise KeyError(f"{name}: not among {', '.join(self._series)}")
        return self._data.item(series, self._place - 1 - ago) if ago < self.count else math.nan


def _names(
    specs: Sequence[IndicatorSpec], written: Sequence[str], states: NDArray[np.void]
) -> Mapping[str, int]:
    """Returns the series of each name of a value."""
    names: dict[str, int] = {}
    for number, spec in enumerate(specs):
        first = int(states[number]["first"])
        for name in dict.fromkeys((spec.text, *written[number : number + 1])):
            for at, column in enumerate(spec.columns):
                names[spec.name_of(column, name)] = first + at
    return names


def _states(specs: Iterable[IndicatorSpec]) -> tuple[NDArray[np.void], int]:
    """Returns the records of the indicators, and how many series they need with the inputs."""
    specs = tuple(specs)
    states = np.zeros(len(specs), INDICATOR)
    series = INPUTS
    for state, spec in zip(states, specs, strict=True):
        state["kind"], state["first"] = spec.definition.kind, series
        series += len(spec.columns) + spec.definition.spare
        numbers = iter(("period", "second", "third"))
        for parameter, value in zip(spec.definition.parameters, spec.values, strict=True):
            state["width" if parameter.name == "width" else next(numbers)] = value or 0
    return states, series


def _arguments(definition: IndicatorDefinition, text: str, written: str) -> dict[str, str]:
    """Returns the arguments between the parentheses by the name of their parameter."""
    names = [each.name for each in definition.parameters]
    arguments: dict[str, str] = {}
    given = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(given) > len(names):
        raise Misconfigured(f"indicator {written}: {_takes(definition)}")
    for name, part in zip(names, given, strict=False):
        key, equals, value = part.rpartition("=")
        key = key.strip() if equals else name
        if not key:
            raise Misconfigured(f"indicator {written}: write the name of a parameter before =")
        if key not in names:
            meant = did_you_mean(key, names) or _takes(definition)
            raise Misconfigured(f"indicator {written}: no parameter {one_line(key, _WRITTEN_CHARS)}; {meant}")
        if key in arguments:
            raise Misconfigured(f"indicator {written}: {key} is given twice; keep one of the two")
        arguments[key] = value.strip()
    return arguments


def _takes(definition: IndicatorDefinition) -> str:
    names = ", ".join(each.name for each in definition.parameters)
    return f"{definition.name} takes {f'only {names}' if names else 'no parameters'}"


def _values(
    definition: IndicatorDefinition, arguments: Mapping[str, str], written: str
) -> tuple[float | None, ...]:
    values = tuple(
        _number(each, arguments[each.name], written) if each.name in arguments else each.default
        for each in definition.parameters
    )
    named = {each.name: value or 0 for each, value in zip(definition.parameters, values, strict=True)}
    if named.get("fast", 0) >= named.get("slow", 1):
        raise Misconfigured(f"indicator {written}: fast must be less than slow")
    return values


def _number(parameter: IndicatorParameter, text: str, written: str) -> float:
    place = f"indicator {written}: {parameter.name}"
    if parameter.name == "width":
        try:
            width = float(text)
        except ValueError:
            width = math.nan
        if not 0 < width <= MOST_WIDTH:
            raise Misconfigured(f"{place} must be a number above 0, at most {MOST_WIDTH:,}")
        return width
    if not re.fullmatch(r"[+-]?[0-9]{1,12}", text) or not parameter.least <= int(text) <= MOST_BARS:
        raise Misconfigured(f"{place} must be a whole number from {parameter.least} to {MOST_BARS:,}")
    return int(text)
