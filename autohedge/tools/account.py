"""The account in a few lines: what is held, what is left, and the bounds that no answer moves."""

from autohedge.core.snapshots import Bounds, Holding, Snapshot
from autohedge.tools.wording import amount, figure, name, plain, price


def account_text(snapshot: Snapshot) -> str:
    """Position, money, exposure against its bounds, exits and costs, trading state and gate."""
    return "\n".join(
        (
            f"position: {_position(snapshot)}",
            _money(snapshot),
            f"exposure: {amount(snapshot.exposure)}{_at_most(snapshot.bounds)}",
            _rules(snapshot),
            f"trading: {name(snapshot.state)}, gate: {name(snapshot.gate)}",
        )
    )


def _money(snapshot: Snapshot) -> str:
    cash, free, equity = map(amount, (snapshot.cash, snapshot.buying_power, snapshot.equity))
    return f"cash: {cash}, free to buy: {free}, equity: {equity}"


def _position(snapshot: Snapshot) -> str:
    held = snapshot.held
    if not held.quantity:
        return "none"
    gain = _gain(snapshot, held)
    guards = f"take-profit {price(held.take_profit)}, stop-loss {price(held.stop_loss)}"
    return f"{plain(held.quantity)} bought at {price(held.price)}{gain}, {guards}"


def _gain(snapshot: Snapshot, held: Holding) -> str:
    """How far the last bid is from the cost, where both are known."""
    if not snapshot.quotes or held.price <= 0:
        return ""
    return f" ({(snapshot.quotes[-1].bid / held.price - 1) * 1e4:+.1f} bps at the last bid)"


def _at_most(bounds: Bounds) -> str:
    return (
        f" of at most {plain(bounds.max_exposure_notional)}; at most {plain(bounds.max_position_notional)} "
        f"in one symbol, {plain(bounds.max_order_notional)} in one order"
    )


def _rules(snapshot: Snapshot) -> str:
    """Exits, costs and when it is bought; where agents propose, exits are theirs and no rise is needed."""
    bounds = snapshot.bounds
    fee, within = (
        f"fee: {plain(bounds.fee_bps)} bps each way",
        f"within a spread of {figure(bounds.max_spread_bps)} bps",
    )
    if snapshot.kind == "trade":
        return f"{fee}; entries: {within}"
    exits = (
        f"take-profit +{figure(bounds.take_profit_bps)} bps, stop-loss -{figure(bounds.stop_loss_bps)} bps"
    )
    return f"exits: {exits}; {fee}\nentries: from a rise of {figure(bounds.min_edge_bps)} bps, {within}"


def bounds_text(bounds: Bounds) -> str:
    """What the Risk and Execution agents may ask for."""
    stops, takes = bounds.stop_losses_bps, bounds.take_profits_bps
    return "\n".join(
        (
            f"take-profit: {takes[0]} to {takes[1]} bps",
            f"stop-loss: {stops[0]} to {stops[1]} bps",
            f"take-profit over stop-loss: at least {figure(bounds.least_reward_to_risk)}",
            f"offset of a limit: 0 to {bounds.most_offset_bps} bps",
        )
    )
