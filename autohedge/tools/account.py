"""The account as text: position, money, exposure, and the limits that no answer can change."""

from collections.abc import Iterator

from autohedge.core.snapshots import AgentLimits, PositionView, Snapshot
from autohedge.tools.formatting import clean_name, format_decimal, format_money, format_price, format_setting

SHORTS = (
    "of a short the take-profit is below the price, the stop-loss above it, and an offset raises the limit"
)


def account_text(snapshot: Snapshot) -> str:
    """Returns position, money, exposure and its limits, exits and costs, trading state and gate."""
    return "\n".join(
        (
            f"position: {_position(snapshot)}",
            _money(snapshot),
            f"exposure: {format_money(snapshot.exposure)}{_at_most(snapshot.limits)}",
            _rules(snapshot),
            *_directions(snapshot.limits),
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
    done = "bought" if held.quantity > 0 else "sold short"
    quantity = format_decimal(held.quantity.copy_abs())
    return f"{quantity} {done} at {format_price(held.price)}{gain}, {exit_levels}"


def _gain(snapshot: Snapshot, held: PositionView) -> str:
    """Returns what the position gains at the last quote, in bps of its entry price, if both are known."""
    if not snapshot.quotes or held.price <= 0:
        return ""
    exit_side = "bid" if held.quantity > 0 else "ask"
    return f" ({held.gain_bps(snapshot.quotes[-1]):+.1f} bps at the last {exit_side})"


def _directions(bounds: AgentLimits) -> Iterator[str]:
    """Yields the directions of entries where shorts are allowed; other prompts do not speak of shorts."""
    if "short" in bounds.directions:
        yield f"entries may be {' or '.join(bounds.directions)}; {SHORTS}"


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
    moves = " or ".join({"long": "rise", "short": "fall"}[each] for each in bounds.directions or ("long",))
    return f"exits: {exits}; {fee}\nentries: from a {moves} of {format_setting(bounds.min_edge_bps)} bps, {within}"


def bounds_text(bounds: AgentLimits) -> str:
    """Returns the limits of the Risk and Execution agents' answers."""
    stops, takes = bounds.stop_losses_bps, bounds.take_profits_bps
    return "\n".join(
        (
            f"take-profit: {takes[0]} to {takes[1]} bps",
            f"stop-loss: {stops[0]} to {stops[1]} bps",
            f"take-profit over stop-loss: at least {format_setting(bounds.least_reward_to_risk)}",
            f"offset of a limit: 0 to {bounds.most_offset_bps} bps",
            *([SHORTS] if "short" in bounds.directions else []),
        )
    )
