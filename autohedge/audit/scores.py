"""Hit rates and forecasts of a yes or no: Wilson's interval, bands of confidence, Brier scores and their skill.

The functions take arrays and numbers, and know nothing of runs or records. A figure that has no value is None, never
NaN; `undefined` of a result gives its code.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution, for two-sided intervals of 95 %."""
BANDS = ((0, 49), (50, 59), (60, 69), (70, 79), (80, 89), (90, 100))
"""The bands of confidence, in percent, both ends included."""
INTERVAL_LEAST_N = 20
"""The fewest forecasts for which the skill has an interval."""

Interval = tuple[float, float]


def wilson(hits: int, n: int) -> Interval | None:
    """Returns the 95 % interval of Wilson of a share, cut to [0, 1]; None for no trials.

    Centre (p + z²/2n) / (1 + z²/n), half width z √(p(1-p)/n + z²/4n²) / (1 + z²/n). Source: E. B. Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not n:
        return None
    share, square = hits / n, Z_95**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    # Without a hit, or without a miss, that end is exact, whatever the rounding.
    return max(centre - half, 0.0) if hits else 0.0, min(centre + half, 1.0) if hits < n else 1.0


@dataclass(frozen=True, slots=True)
class HitRate:
    """How many of `n` decided outcomes were hits."""

    hits: int
    n: int

    @classmethod
    def of(cls, hit: NDArray[np.bool_]) -> "HitRate":
        """Returns the rate of an array with an entry per outcome."""
        return cls(int(np.count_nonzero(hit)), len(hit))

    @property
    def rate(self) -> float | None:
        """The share of hits; None without an outcome."""
        return self.hits / self.n if self.n else None

    def as_dict(self) -> dict[str, Any]:
        """Returns counts, rate and 95 % interval as JSON values."""
        figures = {
            "n": self.n,
            "hits": self.hits,
            "rate": self.rate,
            "interval_95": wilson(self.hits, self.n),
        }
        codes = {} if self.n else dict.fromkeys(("rate", "interval_95"), "no_outcomes")
        return figures | {"undefined": codes}


def band_rates(confidence_pct: NDArray[np.int64], hit: NDArray[np.bool_]) -> list[HitRate]:
    """Returns the hit rate in each of `BANDS`."""
    return [HitRate.of(hit[(confidence_pct >= least) & (confidence_pct <= most)]) for least, most in BANDS]


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """The Brier scores, mean (forecast - outcome)², of the confidence and of the base rate as forecasts of a hit.

    `skill` is 1 - B / B_base: 1 for a perfect forecast, 0 for one as good as the base rate, negative for a worse one.
    `skill_interval_95` is its 95 % interval: that of the mean of the paired differences of both squared errors, over
    B_base. It supposes that the outcomes are independent. `undefined` has the code of each figure that is None.
    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78
    (1950).
    """

    brier: float | None
    brier_base: float | None
    skill: float | None
    skill_interval_95: Interval | None
    undefined: dict[str, str]

    @classmethod
    def of(
        cls, confidence_pct: NDArray[np.int64], hit: NDArray[np.bool_], base_rate: float | None
    ) -> "ForecastScore":
        """Returns the scores of a confidence per outcome; `base_rate` is None if it is not known."""
        figures: dict[str, Any] = dict.fromkeys(("brier", "brier_base", "skill", "skill_interval_95"))
        if not len(hit):
            return cls(**figures, undefined=dict.fromkeys(figures, "no_outcomes"))
        own = (confidence_pct / 100 - hit) ** 2
        figures["brier"] = float(own.mean())
        if base_rate is None:
            return cls(**figures, undefined=_codes(figures, "no_base_rate"))
        base = (base_rate - hit) ** 2
        figures["brier_base"] = brier_base = float(base.mean())
        if not brier_base:
            return cls(**figures, undefined=_codes(figures, "base_rate_is_exact"))
        figures["skill"] = skill = 1 - figures["brier"] / brier_base
        if len(hit) < INTERVAL_LEAST_N:
            return cls(**figures, undefined=_codes(figures, "too_few_outcomes"))
        half = Z_95 * float((base - own).std(ddof=1)) / math.sqrt(len(hit)) / brier_base
        return cls(**figures | {"skill_interval_95": (skill - half, skill + half)}, undefined={})


def _codes(figures: dict[str, Any], code: str) -> dict[str, str]:
    return {name: code for name, value in figures.items() if value is None}


def count_apart(entry_ns: NDArray[np.int64], exit_ns: NDArray[np.int64]) -> int:
    """Returns how many of the spans, chosen from the earliest end on, do not overlap.

    It is the largest number of them that share no time: outcomes of spans that overlap resemble each other.
    """
    count, free_ns = 0, -1
    for row in np.argsort(exit_ns, kind="stable"):
        if entry_ns[row] > free_ns:
            count, free_ns = count + 1, int(exit_ns[row])
    return count
