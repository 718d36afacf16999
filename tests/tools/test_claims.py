"""Numbers in a thesis: those in the prompt are matched, others are reported."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.quote_table import quote_table
from autohedge.core.snapshots import PositionView, QuoteRow, Snapshot
from autohedge.llm.backends.rules import verdict
from autohedge.tools.account import account_text
from autohedge.tools.claims import LONGEST, claims, implausible_levels, unsupported
from autohedge.tools.facts import facts_of
from autohedge.tools.indicators import indicators, indicators_text
from tests.snapshot_factory import VALID_QUOTES, rows, snapshot

# Fifty quotes about 64,000 that rise by 0.5 and fall by 0.3 in turn, with a spread of 0.2.
MIDS = [64_000 + 0.2 * (i // 2) + 0.5 * (i % 2) for i in range(50)]
HELD = PositionView(Decimal("0.0123"), 63_990.5, 64_630.4, 63_670.55)
SEEN = snapshot(
    rows(MIDS), position=HELD, valid_quotes=731, cash=Decimal("9212.92"), exposure=Decimal("787.18")
)


def made_up(text: str, *shown: str, seen: Snapshot = SEEN, table_rows: int = 50) -> tuple[str, ...]:
    return unsupported(text, seen, table_rows, shown)


def written(text: str) -> list[str]:
    return [claim.text for claim in claims(text)]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("bid 64,100.5 now", 64_100.5, ""),
        ("a drift of -3.2 bps", -3.2, "bps"),
        ("fell −3.2bp", -3.2, "bps"),
        ("12 basis points", 12, "bps"),
        ("up +0.4%", 0.4, "%"),
        ("up 0.4 percent", 0.4, "%"),
        ("near $64.1k", 64_100, ""),
        ("t=-2.5, then", -2.5, ""),
        ("about .5", 0.5, ""),
        ("price 1.5e-07", 1.5e-07, ""),
        ("at ٦٤١٠٠", 64_100, ""),
        ("价格64100", 64_100, ""),
        ("at ６４.5", 64.5, ""),
        ("1,234,567", 1_234_567, ""),
    ],
)
def test_a_number_is_read_with_its_sign_and_unit(text: str, value: float, unit: str) -> None:
    [claim] = claims(text)
    assert claim.value == pytest.approx(value, rel=1e-12) and claim.unit == unit
    assert claim.text in text


@pytest.mark.parametrize(
    "text",
    [
        "RSI14 and RSI-14, v1.2.3, BTC-20240808",
        "at 14:05 and 23:54:15.088 on 2024-08-08, 2024-08-08T23:54:15Z, 08/08/2024, 8.8.2024",
        "the 3rd rise in 5m, within 30 seconds or a 15-minute bar",
        "m² and ½ of it, no number at all",
        "",
    ],
)
def test_names_timestamps_and_durations_are_no_claims(text: str) -> None:
    assert claims(text) == []


def test_a_range_has_two_ends_and_no_sign_between_them() -> None:
    assert written("64,000-64,100 or 3–4, 10%-12%") == ["64,000", "64,100", "3", "4", "10%", "12%"]
    assert [claim.value for claim in claims("3-4 –5")] == [3, 4, -5]


@pytest.mark.parametrize(
    "thesis",
    [
        "Bid 63,999.9 and ask 64,000.1 at the start, now 64,005.2/64,005.4; mid up 5.3.",
        "The price rose 0.83 bps (0.0083%) over 50 quotes, more than the 0.03 bps spread.",
        "Spread of 0.2 is small; highest ask 64,005.4, lowest bid 63999.9.",
        "Holding 0.0123 bought at 63,990.5, with take-profit 64,630.4 and stop-loss 63,670.55.",
        "Position gains 2.3 bps, below the +100 bps take-profit and far from -50 bps.",
        "Fees of 10 bps each way, 20 bps in all, exceed a rise of 0.8 bps; 15 bps are needed.",
        "Cash 9,212.92 and exposure 787.18 of at most 5000, one order at most 100.",
        "Bid size 3.0 against ask size 1.0: imbalance +0.50, or 50%.",
        "Of 731 quotes 50 are shown; about $64k, exactly $64.0k.",
        "RSI 63 (62.5%) over 14 changes.",
    ],
)
def test_a_true_thesis_has_only_supported_claims(thesis: str) -> None:
    assert made_up(thesis) == ()


@pytest.mark.parametrize(
    ("thesis", "wrong"),
    [
        ("Breakout above 64,900, target 66,250.5, stop 61,800.", ("64,900", "66,250.5", "61,800")),
        ("Rose 45 bps over 50 quotes.", ("45 bps",)),
        ("Volume is up 37% with RSI 81.2.", ("37%", "81.2")),
        ("Fell -0.83 bps.", ("-0.83 bps",)),
        ("Spread 64,000.1 bps.", ("64,000.1 bps",)),
        ("Support at 65,100, again 65,100, then 7.77 and 65,100.", ("65,100", "7.77")),
        ("Equity $12,345.67.", ("$12,345.67",)),
        ("At ٧٠٠٠٠ soon.", ("٧٠٠٠٠",)),
    ],
)
def test_unsupported_numbers_are_named_once_each_in_order(thesis: str, wrong: tuple[str, ...]) -> None:
    assert made_up(thesis) == wrong


def test_claim_sign_may_be_omitted_but_not_reversed() -> None:
    falling = snapshot(rows([100.0, 99.9]))
    assert made_up("fell 10.0 bps, down 0.10%, by 0.1; return -10.0 bps", seen=falling) == ()
    assert made_up("return +9.98 bps", seen=falling) == ("+9.98 bps",)


@pytest.mark.parametrize(
    ("cited", "known"),
    [
        ("12.35", True),  # rounded
        ("12.34", True),  # truncated
        ("12.3", True),
        ("12", True),
        ("12.355", True),  # within 0.1 %
        ("12.36", False),
        ("12.4", False),
        ("13", False),
        ("12.38", False),
        ("12.33", False),
        ("12.3456", True),
    ],
)
def test_a_claim_is_the_fact_rounded_or_cut_or_within_a_thousandth(cited: str, known: bool) -> None:
    seen = snapshot((QuoteRow(0, 7000.0, 12.3456, 7001.0, 0.0),))
    assert (made_up(f"size {cited}", seen=seen) == ()) is known


def test_numbers_of_other_texts_that_were_shown_are_known() -> None:
    assert made_up("ETF inflows of 412.5 and a 3.1% rally") == ("412.5", "3.1%")
    headline = "Bitcoin ETFs take in $412.5 million after 3.1% rally"
    assert made_up("ETF inflows of 412.5 and a 3.1% rally, 310 bps", headline) == ()
    assert made_up("up 0.77%", "the Quant saw 77 bps") == ()


def test_digits_of_the_symbol_are_supported() -> None:
    seen = snapshot(rows([100.0] * 3), symbol="9988.HK/2618X")
    assert made_up("9988.HK/2618X is still.", seen=seen) == ()


def test_prices_that_the_table_does_not_show_are_not_known() -> None:
    seen = snapshot(rows([50.0, 90.0, 70.0, 100.0, 100.0, 100.0], spread=1.0))
    assert made_up("was 70.5", seen=seen, table_rows=3) == ("70.5",)
    assert made_up("was 70.5", seen=seen, table_rows=4) == ()


def test_without_quotes_only_the_account_is_known() -> None:
    assert made_up("0 of 20 quotes, cash 10,000, price 64,000", seen=snapshot()) == ("64,000",)


@given(VALID_QUOTES)
def test_the_rules_never_cite_what_was_not_shown(quotes: tuple[QuoteRow, ...]) -> None:
    seen = snapshot(quotes)
    assert made_up(verdict(seen)["thesis"], seen=seen) == ()


@given(st.lists(st.floats(1e-3, 1e6), max_size=60), st.integers(1, 50))
def test_numbers_shown_in_prompt_texts_are_supported(prices: list[float], table_rows: int) -> None:
    seen = snapshot(rows(prices, spread=1e-4), position=HELD)
    for text in (account_text(seen), indicators_text(seen, table_rows)):
        assert made_up(text.replace("-1 all ask to 1 all bid", ""), seen=seen, table_rows=table_rows) == ()
    table = quote_table(seen.quotes[-table_rows:]).replace(" | ", ", ")
    assert made_up(table, seen=seen, table_rows=table_rows) == ()


@given(st.text(max_size=400) | st.text(alphabet="0123456789.,-+%eEk $:/−٣bps", max_size=400))
def test_claims_of_arbitrary_text_are_bounded_pieces_of_it(text: str) -> None:
    for claim in claims(text):
        assert claim.text.removesuffix("…") in text and 0 < len(claim.text) <= LONGEST
        assert math.isnan(claim.value) or claim.step > 0
    assert set(made_up(text)) <= set(written(text))


@pytest.mark.parametrize("text", ["9" * 10_000, "1e999", "0." + "0" * 500, "1" + ",000" * 5000])
def test_oversized_number_is_unsupported_and_truncated(text: str) -> None:
    found = made_up(text, text)
    assert found and all(len(each) <= LONGEST for each in found)


@pytest.mark.parametrize(
    "piece", ["1,", "1.", "1,000", "1 ", "-", "1:1", "12/12/", "a-", "2024-08-", "1e", "$", "9"]
)
def test_hostile_text_of_60000_characters_is_searched_in_linear_time(piece: str) -> None:
    # A quadratic search would take many seconds here.
    text = piece * (60_000 // len(piece))
    assert sum(len(each) for each in written(text)) <= len(text)


def test_facts_are_in_order_and_finite() -> None:
    facts = facts_of(SEEN, 50)
    for each in facts:
        assert each == sorted(each) and all(map(math.isfinite, each))
    assert indicators(SEEN, 50).return_bps in facts.bps


@pytest.mark.parametrize(
    ("levels", "far"),
    [
        ([], ()),
        ([50.0, 100.0, 150.0], ()),
        ([49.9, 150.2, 49.9], ("key level 49.9", "key level 150.2")),
        ([0.0, -100.0], ("key level 0", "key level -100")),
        ([1e308], ("key level 1e+308",)),
    ],
)
def test_levels_beyond_half_the_price_are_implausible(levels: list[float], far: tuple[str, ...]) -> None:
    assert implausible_levels(levels, snapshot(rows([300.0, 100.0]))) == far


def test_levels_without_a_quote_are_not_judged() -> None:
    assert implausible_levels([1e-9, 1e9], snapshot()) == ()
