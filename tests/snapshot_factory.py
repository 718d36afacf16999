"""Snapshots built by hand, and hypothesis strategies for tests of the agents' figures."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st

from autohedge.core.snapshots import AgentLimits, ClosedTrade, PositionView, QuoteRow, Snapshot

AT_NS = 1_723_161_255_088_000_000  # 2024-08-08T23:54:15.088Z
AGENT_LIMITS = AgentLimits(
    min_order_notional=Decimal(10),
    max_order_notional=Decimal(100),
    max_position_notional=Decimal(1000),
    max_exposure_notional=Decimal(5000),
    take_profit_bps=100.0,
    stop_loss_bps=50.0,
    fee_bps=Decimal(10),
    min_edge_bps=15.0,
    max_spread_bps=25.0,
    stop_losses_bps=(10, 50),
    take_profits_bps=(15, 400),
    least_reward_to_risk=1.5,
    most_offset_bps=20,
)
BOTH_DIRECTIONS = msgspec.structs.replace(AGENT_LIMITS, directions=("long", "short"))
FLAT = PositionView(Decimal(0), 0.0, 0.0, 0.0)


def rows(mids: Sequence[float], spread: float = 0.2, step_ns: int = 10**9) -> tuple[QuoteRow, ...]:
    """Returns quotes around these mids, the last one at AT_NS."""
    first = AT_NS - step_ns * (len(mids) - 1)
    return tuple(
        QuoteRow(first + step_ns * i, mid - spread / 2, 3.0, mid + spread / 2, 1.0)
        for i, mid in enumerate(mids)
    )


def snapshot(quotes: tuple[QuoteRow, ...] = (), **changes: Any) -> Snapshot:
    """Returns the snapshot of a flat account with 10 000 of cash and these quotes."""
    plain = Snapshot(
        number=1,
        kind="gate",
        symbol="BTC/USD",
        at_ns=AT_NS,
        quotes=quotes,
        valid_quotes=len(quotes),
        position=FLAT,
        cash=Decimal(10000),
        equity=Decimal(10000),
        buying_power=Decimal(10000),
        exposure=Decimal(0),
        state="active",
        gate="shut",
        limits=AGENT_LIMITS,
    )
    return msgspec.structs.replace(plain, **changes)


def closed_trade(
    entry_price: float = 100.0, exit_price: float = 101.0, fees: str = "0.1", **changes: Any
) -> ClosedTrade:
    """Returns a round trip of half a unit within one minute."""
    plain = ClosedTrade(
        symbol="BTC/USD",
        opened_ns=AT_NS - 60 * 10**9,
        closed_ns=AT_NS,
        quantity=Decimal("0.5"),
        entry_price=entry_price,
        exit_price=exit_price,
        realized=Decimal(str((exit_price - entry_price) / 2)),
        fees=Decimal(fees),
        reason="take_profit",
    )
    return msgspec.structs.replace(plain, **changes)


def _quote(ts_ns: int, bid: float, over: float, bid_size: float, ask_size: float) -> QuoteRow:
    # Capped below the largest float: an infinite ask would be an invalid quote.
    return QuoteRow(ts_ns, bid, bid_size, min(bid * (1 + over), 1.7e308), ask_size)


_sizes = st.one_of(st.just(0.0), st.floats(1e-300, 1e308))
VALID_QUOTES = st.lists(
    st.builds(
        _quote,
        st.just(AT_NS),
        st.one_of(st.floats(5e-324, 1.7e308), st.floats(99.0, 101.0)),
        st.one_of(st.just(0.0), st.floats(0, 1e3)),
        _sizes,
        _sizes,
    ),
    max_size=60,
).map(tuple)
