"""The account as text: position, money, exposure, and the limits that no answer can change."""

from autohedge.core.snapshots import AgentLimits, PositionView, Snapshot
from autohedge.tools.formatting import clean_name, format_decimal, format_money, format_price, format_setting


def account_text(snapshot: Snapshot) -> str:
    """Returns position, money, exposure and its limits, exits and costs, trading state and gate."""
    return "\n".join(
        (
            f"position: {_position(snapshot)}",
            _money(snapshot),
            f"exposure: {format_money(snapshot.exposure)}{_at_most(snapshot.limits)}",
            _rules(snapshot),
            f"trading: {clean_name(snapshot.state)}, gate: {clean_name(snapshot.gate)}",
        )
    )


def _money(snapshot: Snapshot) -> str:
    cash, free, equity = map(format_money, (snapshot.cash, snapshot.buying_power, snapshot.equity))
    return f"cash: {cash}, free to buy: {free}, equity: {equity}"


def _position(snapshot: Snapshot) -> str:
    held = snapshot.position
    if not held.quantity:
        return "none"
    gain = _gain(snapshot, held)
    exit_levels = f"take-profit {format_price(held.take_profit)}, stop-loss {format_price(held.stop_loss)}"
    return f"{format_decimal(held.quantity)} bought at {format_price(held.price)}{gain}, {exit_levels}"


def _gain(snapshot: Snapshot, held: PositionView) -> str:
    """Returns the distance of the last bid from the entry price in bps, if both are known."""
    if not snapshot.quotes or held.price <= 0:
        return ""
    return f" ({(snapshot.quotes[-1].bid / held.price - 1) * 1e4:+.1f} bps at the last bid)"


def _at_most(bounds: AgentLimits) -> str:
    return (
        f" of at most {format_decimal(bounds.max_exposure_notional)}; "
        f"at most {format_decimal(bounds.max_position_notional)} in one symbol, "
        f"{format_decimal(bounds.max_order_notional)} in one order"
    )


def _rules(snapshot: Snapshot) -> str:
    """Returns exits, costs and entry conditions.

    In a deliberation about a trade the agents set the exits, and an entry needs no price rise.
    """
    bounds = snapshot.limits
    fee, within = (
        f"fee: {format_decimal(bounds.fee_bps)} bps each way",
        f"within a spread of {format_setting(bounds.max_spread_bps)} bps",
    )
    if snapshot.kind == "trade":
        return f"{fee}; entries: {within}"
    exits = (
        f"take-profit +{format_setting(bounds.take_profit_bps)} bps, "
        f"stop-loss -{format_setting(bounds.stop_loss_bps)} bps"
    )
    return (
        f"exits: {exits}; {fee}\nentries: from a rise of {format_setting(bounds.min_edge_bps)} bps, {within}"
    )


def bounds_text(bounds: AgentLimits) -> str:
    """Returns the limits of the Risk and Execution agents' answers."""
    stops, takes = bounds.stop_losses_bps, bounds.take_profits_bps
    return "\n".join(
        (
            f"take-profit: {takes[0]} to {takes[1]} bps",
            f"stop-loss: {stops[0]} to {stops[1]} bps",
            f"take-profit over stop-loss: at least {format_setting(bounds.least_reward_to_risk)}",
            f"offset of a limit: 0 to {bounds.most_offset_bps} bps",
        )
    )
