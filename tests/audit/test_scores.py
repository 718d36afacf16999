"""Tests hit rates and forecasts: known answers, coverage, planted skill, and codes for what has no value."""

import numpy as np
import pytest
from numpy.typing import NDArray

from autohedge.audit.scores import BANDS, ForecastScore, HitRate, band_rates, count_apart, wilson

SEEDS, VERDICTS = 100, 400


def _planted(seed: int, *, skill: bool) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Returns confidence, true probability and hit; without skill, every verdict has the same probability."""
    draw = np.random.default_rng(seed)
    confidence_pct = draw.integers(20, 101, VERDICTS)
    truth = confidence_pct / 100 if skill else np.full(VERDICTS, 0.4)
    return confidence_pct, truth, draw.random(VERDICTS) < truth


def test_wilson_interval_has_its_published_values() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901624715, 0.9433178485))
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775327999)) and wilson(10, 10) == pytest.approx(
        (0.7224672, 1.0)
    )
    assert wilson(0, 0) is None and wilson(0, 3) != wilson(0, 30)


@pytest.mark.parametrize("skill", [True, False])
def test_wilson_intervals_cover_the_truth_in_93_of_100_seeds(skill: bool) -> None:
    covered = np.zeros(1 + len(BANDS), int)
    for seed in range(SEEDS):
        confidence_pct, truth, hit = _planted(seed, skill=skill)
        bands = [(confidence_pct >= least) & (confidence_pct <= most) for least, most in BANDS]
        rates = [HitRate.of(hit), *band_rates(confidence_pct, hit)]
        for place, (rate, rows) in enumerate(zip(rates, [np.full(VERDICTS, True), *bands], strict=True)):
            least, most = wilson(rate.hits, rate.n) or (1.0, 0.0)
            covered[place] += least <= truth[rows].mean() <= most
    assert covered[0] >= 93 and covered.mean() >= 93, covered


def test_planted_skill_is_found_and_a_model_without_skill_is_not() -> None:
    found, missed = 0, 0
    for seed in range(SEEDS):
        confidence_pct, truth, hit = _planted(seed, skill=True)
        score = ForecastScore.of(confidence_pct, hit, float(truth.mean()))
        found += score.skill_interval_95 is not None and score.skill_interval_95[0] > 0
        rates = [rate.rate or 0.0 for rate in band_rates(confidence_pct, hit)]
        assert rates[-1] > rates[0] + 0.3
        confidence_pct, truth, hit = _planted(seed, skill=False)
        score = ForecastScore.of(confidence_pct, hit, 0.4)
        missed += score.skill is not None and score.skill < 0
    assert found == missed == SEEDS


def test_confidence_equal_to_the_base_rate_shows_skill_in_few_seeds_only() -> None:
    claims = 0
    for seed in range(SEEDS):
        draw = np.random.default_rng(seed)
        confidence_pct, hit = draw.integers(39, 42, VERDICTS), draw.random(VERDICTS) < 0.4
        interval = ForecastScore.of(confidence_pct, hit, 0.4).skill_interval_95
        claims += interval is not None and interval[0] > 0
    assert claims <= 7


def test_brier_scores_and_skill_by_hand() -> None:
    score = ForecastScore.of(np.array([100, 0, 50, 50]), np.array([True, False, True, False]), 0.5)
    assert (score.brier, score.brier_base, score.skill) == (0.125, 0.25, 0.5)
    assert score.skill_interval_95 is None and score.undefined == {"skill_interval_95": "too_few_outcomes"}


def test_interval_of_the_skill_is_that_of_the_paired_differences() -> None:
    hit = np.arange(20) < 10
    score = ForecastScore.of(np.where(hit, 100, 50), hit, 0.5)
    # The differences of the squared errors are 0.25 for hits and 0 for the others.
    half = 1.959963984540054 * (0.125**2 * 20 / 19 / 20) ** 0.5 / 0.25
    assert score.skill_interval_95 == pytest.approx((0.5 - half, 0.5 + half))


def test_figures_without_a_value_are_none_with_a_code() -> None:
    none, one = np.array([], np.int64), np.array([70])
    nothing = ForecastScore.of(none, none.astype(bool), 0.5)
    assert nothing.brier is None and set(nothing.undefined.values()) == {"no_outcomes"}
    unknown = ForecastScore.of(one, one > 0, None)
    assert unknown.brier == pytest.approx(0.09) and unknown.undefined["skill"] == "no_base_rate"
    exact = ForecastScore.of(one, one > 0, 1.0)
    assert exact.brier_base == 0 and exact.undefined["skill"] == "base_rate_is_exact"
    empty = HitRate(0, 0).as_dict()
    assert (empty["rate"], empty["interval_95"]) == (None, None) and set(empty["undefined"]) == {
        "rate",
        "interval_95",
    }


def test_every_confidence_belongs_to_one_band() -> None:
    confidence_pct = np.arange(101)
    assert [rate.n for rate in band_rates(confidence_pct, confidence_pct >= 0)] == [50, 10, 10, 10, 10, 11]


def test_spans_that_overlap_are_not_counted_apart() -> None:
    spans = [(0, 10), (5, 7), (8, 9), (9, 12), (13, 20), (14, 15)]
    entry_ns, exit_ns = np.array(spans).T
    assert count_apart(entry_ns, exit_ns) == 3
    assert count_apart(entry_ns[:0], exit_ns[:0]) == 0
