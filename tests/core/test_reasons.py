"""Outcome codes: kernels count them by number, so the numbers are pinned."""

from autohedge.core.reasons import COUNT, STOPS, STOPS_FROM, Reason

PINNED = """
bad_quote exit_pending wide_spread debounce warming_up no_edge in_position order_pending low_volume
below_vwap bar_forming no_signal take_profit stop_loss exit_signal entry halted stale rate_limited
cooling_down buying_power zero_quantity min_quantity max_quantity min_notional max_notional price_band
max_position max_exposure daily_loss order_rate duplicate exceeds_position not_finite
trailing_stop reducing dust time_stop gate_closed gate_cooldown gate_expired deliberating agents_cooldown
no_short no_long no_rate
"""


def test_no_code_ever_changes_its_number_or_its_label() -> None:
    assert [reason.label for reason in sorted(Reason)] == PINNED.split()


def test_codes_count_up_without_a_gap() -> None:
    assert sorted(Reason) == list(range(COUNT))
    assert len({reason.label for reason in Reason}) == COUNT


def test_no_code_at_which_a_scan_stops_is_final_in_the_kernel() -> None:
    assert {reason.label for reason in STOPS} == {
        *("take_profit", "stop_loss", "trailing_stop", "exit_signal", "entry")
    }
    assert min(STOPS) == STOPS_FROM
