"""The field {market}: the break-even move, and what the bars of the snapshot did."""

import pytest
from msgspec import structs

from autohedge.core.snapshots import BarWindow
from autohedge.core.units import NS_PER_S
from autohedge.tools.facts import facts_of
from autohedge.tools.market import break_even_bps, market_text
from tests.snapshot_factory import AT_NS, rows, snapshot

MINUTE_NS = 60 * NS_PER_S
STARTS = tuple(AT_NS // MINUTE_NS * MINUTE_NS - back * MINUTE_NS for back in (3, 2, 1))
WINDOW = BarWindow(
    60, STARTS, (100.0, 101.0, 102.0), (101.5, 102.0, 103.0), (99.5, 100.5, 101.0), (101.0, 102.0, 101.0)
)


def test_break_even_is_both_fees_and_the_mean_spread() -> None:
    shown = snapshot(rows([100.0, 100.0], spread=0.2))
    assert break_even_bps(shown) == pytest.approx(2 * 10 + 20)
    assert market_text(shown) == "break-even move, both fees and the spread: 40.0 bps, 0.4 in price"


def test_windows_show_moves_in_bps_and_how_far_they_reach_back() -> None:
    shown = snapshot(rows([101.5, 101.5]), bars=(WINDOW,))
    _, window, regime, reach = market_text(shown).splitlines()
    assert window == (
        "last 3 bars of 1m: +100.0 bps, range 350.0, volatility 139.3 a bar; "
        "closes from now, oldest first: -49 +49 -49"
    )
    assert regime == "regime of the 1m bars: wild/flat, 139.3 bps a minute, t +0.0"
    assert reach == "the bars reach back 3 minutes"


def test_one_bar_has_no_volatility_and_no_regime() -> None:
    one = structs.replace(
        WINDOW, **{name: getattr(WINDOW, name)[:1] for name in WINDOW.__struct_fields__[1:]}
    )
    text = market_text(snapshot(rows([101.5]), bars=(one,)))
    assert "volatility" not in text and "regime" not in text


def test_without_a_quote_there_is_no_market() -> None:
    assert market_text(snapshot(bars=(WINDOW,))) == ""


def test_figures_of_the_market_are_facts_that_agents_may_cite() -> None:
    plain = facts_of(snapshot(rows([101.5, 101.5])), 50).bps
    with_bars = facts_of(snapshot(rows([101.5, 101.5]), bars=(WINDOW,)), 50).bps
    assert pytest.approx(39.7, abs=0.1) in plain
    for figure in (100.0, 350.0, 139.3, -49, 49):
        assert pytest.approx(figure, abs=0.1) in with_bars
    assert pytest.approx(350.0) not in plain


def test_a_trend_without_noise_has_no_t() -> None:
    even = structs.replace(WINDOW, close=(100.0, 200.0, 400.0))
    assert "regime of the 1m bars: calm/up, 0.0 bps a minute\n" in market_text(
        snapshot(rows([101.5]), bars=(even,))
    )
