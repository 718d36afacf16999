"""The step for prices that a strategy does not read."""

from hypothesis import given
from hypothesis import settings as budget

from autohedge.core.reasons import Reason
from autohedge.kernels import exits_only
from autohedge.kernels.prices import scan_prices
from autohedge.kernels.state import FLAT, OPEN, new_states
from tests.kernels.quote_factory import Quote, columns, quotes, scanned


@budget(max_examples=40, deadline=None)
@given(quotes(lanes=2))
def test_prices_stop_at_the_exits_of_llm_mode_and_count_no_signal(rows: list[Quote]) -> None:
    plain, lanes = (new_states(exits_only.DTYPE, 2) for _ in range(2))
    for states in (plain, lanes):
        states["status"] = [FLAT, OPEN]
        states["take_profit"][1], states["stop_loss"][1] = 100.9, 99.1
        states["refresh_in"][0] = 7
    lane, _, bid, ask, *_ = columns(rows)
    stops, start = [], 0
    while start < len(rows):
        at = scan_prices(lanes, lane, bid, ask, start, len(rows))
        stops += [at] if at < len(rows) else []
        start = at + 1
    assert stops == scanned(plain, exits_only.scan, rows, [])
    counts, expected = lanes["counts"].copy(), plain["counts"].copy()
    # In llm mode a quote of an open position says so; here the strategy is not asked.
    expected[:, Reason.NO_SIGNAL] += expected[:, Reason.IN_POSITION]
    expected[:, Reason.IN_POSITION] = 0
    assert counts.tolist() == expected.tolist()
