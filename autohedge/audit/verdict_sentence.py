"""What the scores of verdicts show, in one or two sentences."""

from autohedge.audit.figures import percent
from autohedge.audit.scores import ForecastScore, HitRate, Interval, wilson
from autohedge.audit.verdict_scores import VerdictScores

LEAST_N = 20
"""The fewest verdicts with an outcome of which a sentence says more than that they are too few."""


def sentence(scores: VerdictScores) -> str:
    """Returns what the scores show in plain words."""
    rate = scores.entries.hit_rate
    if rate.n < LEAST_N:
        return f"Too few verdicts: {rate.n} have an outcome, and it takes at least {LEAST_N} to say anything."
    text = f"{_hit_text(rate, scores.entries.results.mean_base_rate)} {_forecast_text(scores.forecast)}"
    apart = scores.entries.apart
    if 2 * apart < rate.n:
        text += (
            f" Only {apart} of the {rate.n} entries do not overlap in time, so the intervals are too narrow."
        )
    return text


def _hit_text(rate: HitRate, base_rate: float | None) -> str:
    interval = wilson(rate.hits, rate.n)
    assert rate.rate is not None
    assert interval is not None
    met = (
        f"Of {rate.n} verdicts with an outcome {percent(rate.rate, 1)} met their target"
        f" (95 % interval {percent(interval[0], 1)} to {percent(interval[1], 1)})"
    )
    if base_rate is None:
        return f"{met}; there is no base rate to compare with."
    against = f"the base rate of entries at the times of all questions is {percent(base_rate, 1)}"
    return f"{met}; {against}: {_comparison(interval, base_rate)}."


def _comparison(interval: Interval, base_rate: float) -> str:
    if interval[0] > base_rate:
        return "more often than the base rate"
    return "less often than the base rate" if interval[1] < base_rate else "no difference is shown"


def _forecast_text(forecast: ForecastScore) -> str:
    if forecast.skill is None or forecast.skill_interval_95 is None:
        return "The skill of the confidence is not defined."
    least, most = forecast.skill_interval_95
    shown = f"(skill {forecast.skill:+.3f}, 95 % interval {least:+.3f} to {most:+.3f})"
    if least > 0:
        return f"The confidence forecasts better than the base rate {shown}."
    if most < 0:
        return f"The confidence forecasts worse than the base rate {shown}."
    return f"The confidence is not shown to forecast better than the base rate {shown}."
