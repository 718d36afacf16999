"""Indicators by name: known answers, what a text means, how many bars an indicator needs."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market.bar_series import BarSeries
from autohedge.strategies.indicator_table import DEFINITIONS
from autohedge.strategies.indicators import IndicatorSet, Values, compute, parse_indicator, require_distinct
from tests.strategies.indicator_cases import COUNT, Case, cases, differences, spec_of
from tests.strategies.series_factory import bar_values, named, part, walk

WINDOWS = [
    "sma",
    "wma",
    "bollinger",
    "cci",
    "stochastic",
    "donchian",
    "zscore",
    "vwap(20)",
    "roc",
    "momentum",
    "log_return",
    "realised_volatility",
]

SOAK_BARS, SOAK_PARTS = 10_000_000, 20
SOAKED = [parse_indicator(text) for text in ("sma", "bollinger", "zscore", "cci", "rsi", "ema")]


@pytest.fixture(scope="module")
def known(shared: Path) -> list[Case]:
    return cases(shared)


@pytest.mark.parametrize("number", range(COUNT))
def test_known_answers_are_reproduced(shared: Path, known: list[Case], number: int) -> None:
    assert len(known) == COUNT
    assert differences(shared, known[number]) == []


def test_known_answers_cover_all_indicators_that_need_no_sides(known: list[Case]) -> None:
    tapes = Counter(case["tape"] for case in known)
    assert {case["name"] for case in known} == DEFINITIONS.keys() - {"cvd"}
    assert sorted(tapes.values()) == [14, 22, 22, 22]


def test_first_values_are_at_the_places_of_the_table(known: list[Case]) -> None:
    # The tape of Kraken has bars without volume.
    checked = [case for case in known if not case["tape"].startswith("kraken")]
    assert [case["name"] for case in checked if spec_of(case).first != case["first"]] == []


@pytest.mark.parametrize(
    "text", ["sma", "sma()", "sma(20)", "sma(period=20)", " sma ( period = 20 ) ", "sma(+20)"]
)
def test_default_may_be_left_out_given_by_place_or_by_name(text: str) -> None:
    assert parse_indicator(text).text == "sma(period=20)"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("macd", "macd(fast=12, slow=26, signal=9)"),
        ("macd(signal=5)", "macd(fast=12, slow=26, signal=5)"),
        ("macd(3, signal=5, slow=7)", "macd(fast=3, slow=7, signal=5)"),
        ("bollinger(20, 2)", "bollinger(period=20, width=2.0)"),
        ("vwap", "vwap()"),
        ("vwap(20)", "vwap(period=20)"),
        ("obv()", "obv()"),
    ],
)
def test_indicator_is_written_in_full_with_all_its_parameters(text: str, full: str) -> None:
    assert parse_indicator(text).text == full
    assert parse_indicator(full) == parse_indicator(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rs1", "indicator rs1: not known; did you mean rsi?"),
        ("bolinger(20)", "indicator bolinger: not known; did you mean bollinger?"),
        ("quadratic", "indicator quadratic: not known; see autohedge indicators --list"),
        ("rsi(perod=3)", "indicator rsi(perod=3): no parameter perod; did you mean period?"),
        ("rsi(x=3)", "indicator rsi(x=3): no parameter x; rsi takes only period"),
        ("rsi(3, 4)", "indicator rsi(3, 4): rsi takes only period"),
        ("rsi(=3)", "indicator rsi(=3): write the name of a parameter before ="),
        ("obv(3)", "indicator obv(3): obv takes no parameters"),
        ("macd(slow=3, 20)", "indicator macd(slow=3, 20): slow is given twice; keep one of the two"),
        ("macd(12, 12)", "indicator macd(12, 12): fast must be less than slow"),
        ("macd(fast=26)", "indicator macd(fast=26): fast must be less than slow"),
        ("macd(,,)", "indicator macd(,,): fast must be a whole number from 1 to 1,000,000"),
        ("sma(0)", "indicator sma(0): period must be a whole number from 1 to 1,000,000"),
        ("sma(-5)", "indicator sma(-5): period must be a whole number from 1 to 1,000,000"),
        ("sma(1.5)", "indicator sma(1.5): period must be a whole number from 1 to 1,000,000"),
        ("sma(1e3)", "indicator sma(1e3): period must be a whole number from 1 to 1,000,000"),
        ("sma(1000001)", "indicator sma(1000001): period must be a whole number from 1 to 1,000,000"),
        ("vwap(0)", "indicator vwap(0): period must be a whole number from 1 to 1,000,000"),
        (
            "bollinger(width=0)",
            "indicator bollinger(width=0): width must be a number above 0, at most 1,000,000",
        ),
        (
            "bollinger(width=nan)",
            "indicator bollinger(width=nan): width must be a number above 0, at most 1,000,000",
        ),
        (
            "bollinger(width=1000001)",
            "indicator bollinger(width=1000001): width must be a number above 0, at most 1,000,000",
        ),
        (
            "keltner(width=inf)",
            "indicator keltner(width=inf): width must be a number above 0, at most 1,000,000",
        ),
        (
            "supertrend(10, x)",
            "indicator supertrend(10, x): width must be a number above 0, at most 1,000,000",
        ),
        ("", "indicator : write a name and its parameters, as in rsi(period=14)"),
        ("rsi(14", "indicator rsi(14: write a name and its parameters, as in rsi(period=14)"),
        ("rsi(14) + 1", "indicator rsi(14) + 1: write a name and its parameters, as in rsi(period=14)"),
        ("14", "indicator 14: write a name and its parameters, as in rsi(period=14)"),
    ],
)
def test_text_that_is_no_indicator_is_refused_with_the_cure(text: str, message: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        parse_indicator(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "name", ["rsi", "atr", "adx", "bollinger", "zscore", "realised_volatility", "supertrend"]
)
def test_period_that_gives_no_value_is_refused(name: str) -> None:
    assert parse_indicator(f"{name}(2)").params["period"] == 2
    with pytest.raises(Misconfigured, match=f"{name}\\(1\\): period must be a whole number from 2 to"):
        parse_indicator(f"{name}(1)")


@pytest.mark.parametrize(
    "text",
    [
        "rsi\x1b[2J",
        "\x1b]0;title\x07(14)",
        "rsi(\x1b[31m14)",
        "rsi(14\n\nerror: forged)",
        "rsi(\u202e14)",
        "bollinger(width=1\r2)",
        "rsi(per\x1biod=3)",
        "rsi(\x00)",
        "rsi(" + 100_000 * "9" + ")",
        100_000 * "a",
        100_000 * "(",
        "rsi(" + 100_000 * "=" + ")",
        "bollinger(width=" + 10_000 * "9" + ")",
    ],
)
def test_hostile_text_is_refused_in_one_short_printable_line(text: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        parse_indicator(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    ("text", "warmup", "settled"),
    [
        ("rsi", 15, 202),
        ("atr", 15, 202),
        ("ema", 20, 159),
        ("rma", 14, 14 + 187),
        ("sma", 20, 20),
        ("stochastic", 18, 18),
        ("macd", 34, 26 + 180 + 9 + 62 - 1),
        ("adx", 28, 15 + 187 + 14 + 187 - 1),
        ("keltner", 20, 159),
        ("vwap", 1, 1),
        ("ema(1)", 1, 1),
        ("log_return", 2, 2),
    ],
)
def test_bars_until_defined_and_until_settled(text: str, warmup: int, settled: int) -> None:
    spec = parse_indicator(text)
    assert (spec.warmup, spec.settled) == (warmup, settled)


def _columns_of_two_histories(text: str, differing: int, rows: int) -> list[tuple[Values, Values]]:
    """Returns the columns over two histories that only differ in their first bars, and have no jump after them."""
    one, two = walk(rows, seed=1), walk(rows, seed=2)
    factor = one.close[differing - 1] / two.close[differing - 1]
    prices = {name: getattr(two, name) * factor for name in ("high", "low", "close")}
    mixed = BarSeries._make(
        np.concatenate([other[:differing], own[differing:]])
        for own, other in zip(one, two._replace(**prices), strict=True)
    )
    (first,), (second,) = (compute([parse_indicator(text)], bars) for bars in (one, mixed))
    return [(first[name], second[name]) for name in first]


@pytest.mark.parametrize("text", WINDOWS)
def test_window_has_forgotten_what_came_before_it(text: str) -> None:
    settled = parse_indicator(text).settled
    for one, two in _columns_of_two_histories(text, 30, 30 + settled):
        assert one[29 + settled] == two[29 + settled]


@pytest.mark.parametrize("text", ["ema", "ema(3)", "rma", "rsi", "rsi(2)", "atr", "macd", "adx", "keltner"])
def test_seed_weighs_less_than_a_millionth_once_settled(text: str) -> None:
    spec = parse_indicator(text)
    pairs = _columns_of_two_histories(text, spec.warmup - 1, spec.settled)
    seeds = max(abs(one - two)[spec.warmup - 1] for one, two in pairs)
    assert seeds > 1e-4
    for one, two in pairs:
        assert abs(one[-1] - two[-1]) <= 1e-6 * seeds


def test_named_twice_is_refused_whatever_the_spelling() -> None:
    specs = [parse_indicator(text) for text in ("rsi", "sma", "rsi(14)")]
    for refuse in (require_distinct, IndicatorSet):
        with pytest.raises(
            Misconfigured, match=r"indicator rsi\(period=14\): named twice; keep one of the two"
        ):
            refuse(specs)


def test_width_adds_no_bars_to_what_is_kept() -> None:
    wide = parse_indicator("bollinger(20, 1e6)")
    assert wide.lookback == 21
    assert IndicatorSet([wide]).count == 0


@pytest.mark.soak
@pytest.mark.parametrize("price", [1e-8, 1e5])
def test_ten_million_bars_leave_no_drift(price: float) -> None:
    indicators = IndicatorSet(SOAKED)
    for seed in range(SOAK_PARTS):
        bars = walk(SOAK_BARS // SOAK_PARTS, seed, price)
        for bar in bar_values(bars):
            indicators.add(bar)
    assert indicators.count == SOAK_BARS
    for name, values in named(SOAKED, compute(SOAKED, part(bars, -5_000))).items():
        np.testing.assert_allclose(indicators[name], values[-1], rtol=1e-9, err_msg=name)
