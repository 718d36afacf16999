"""The snapshot of a tape without an engine."""

import math
from decimal import Decimal

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.tools import preview, valid_quotes
from tests.run_harness import quotes_tape, settings

QUOTES = [
    (10, 1.0, 1.1),
    (20, None, 1.1),
    (30, 1.2, 1.1),
    (40, 1.0, 1.3),
    (50, 0.0, 1.0),
    (60, 1.0, math.inf),
]
STREAM = quotes_tape(QUOTES).streams[0]


def test_preview_at_tape_end_shows_valid_quotes_and_initial_cash() -> None:
    seen = preview(settings(account__initial_cash=500), STREAM)
    assert [(row.ts_ns, row.bid, row.ask) for row in seen.quotes] == [(10, 1.0, 1.1), (40, 1.0, 1.3)]
    assert (seen.at_ns, seen.valid_quotes, seen.cash, seen.exposure) == (40, 2, Decimal(500), Decimal(0))
    assert seen.symbol == "X"


def test_preview_at_earlier_time_excludes_later_quotes() -> None:
    seen = preview(settings(), STREAM, 39)
    assert (seen.at_ns, [row.ts_ns for row in seen.quotes]) == (39, [10])
    assert preview(settings(), STREAM, 10).valid_quotes == 1


def test_preview_before_first_valid_quote_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no valid quote so early"):
        preview(settings(), STREAM, 9)


def test_valid_quotes_have_positive_finite_prices_up_to_a_time() -> None:
    assert valid_quotes(STREAM)["ts"].tolist() == [10, 40]
    assert valid_quotes(STREAM, 39)["bid"].tolist() == [1.0]


def test_at_most_fifty_quotes_are_seen_and_all_are_counted() -> None:
    seen = preview(settings(), quotes_tape([(i, 1.0, 1.1) for i in range(1, 81)]).streams[0])
    assert (len(seen.quotes), seen.quotes[0].ts_ns, seen.valid_quotes) == (50, 31, 80)


def test_preview_bounds_use_symbol_overrides() -> None:
    own = settings(**{'symbol_overrides."X".take_profit_bps': 7})
    assert preview(own, STREAM).limits.take_profit_bps == 7.0
