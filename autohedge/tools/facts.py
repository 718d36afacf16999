"""All numbers of a snapshot that a prompt can show, by the unit in which they may be cited."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from autohedge.core.returns import mids
from autohedge.core.snapshots import AgentLimits, QuoteRow, Snapshot
from autohedge.llm.backends.rules import LEAST_QUOTES, trend
from autohedge.tools.indicators import RSI_CHANGES, indicators
from autohedge.tools.market import bar_regime, break_even_bps, closes_bps, window_figures


class Facts(NamedTuple):
    """Numbers in ascending order: `plain` holds all as shown, `bps` and `percent` those of that unit."""

    plain: list[float]
    bps: list[float]
    percent: list[float]


def facts_of(snapshot: Snapshot, rows: int) -> Facts:
    """Returns the numbers of the last `rows` quotes, the figures over them, the rules and the account.

    Undefined and non-finite values are omitted.
    """
    quotes = snapshot.quotes[-rows:]
    found, rule = indicators(snapshot, rows), trend(snapshot.quotes)
    shares = [found.rsi, None if found.imbalance is None else 100 * found.imbalance]
    moves = [found.return_bps, found.volatility_bps, found.mean_spread_bps, found.last_spread_bps]
    bps = _known(
        (
            *moves,
            rule.drift_bps,
            rule.spread_bps,
            *_gain_bps(snapshot),
            *_limits_bps(snapshot.limits),
            *_of_bars(snapshot),
        )
    )
    percent = [each / 100 for each in bps]
    change = () if found.return_bps is None else (found.return_bps / 100,)
    figures = (found.slope_t, rule.t, found.rsi, found.imbalance, *change)
    counts = (
        len(quotes),
        len(snapshot.quotes),
        snapshot.valid_quotes,
        rule.quotes,
        LEAST_QUOTES,
        RSI_CHANGES,
    )
    market = (*_quoted(quotes), *_extremes(snapshot.quotes), *_changes(quotes))
    plain = _known((*market, *_money(snapshot), *figures, *counts, *bps))
    return Facts(sorted(plain), sorted(bps), sorted((*percent, *_known(shares))))


def _of_bars(snapshot: Snapshot) -> Iterator[float | None]:
    """Yields the break-even move, the figures of each window of bars with its closes from now, and the regime."""
    yield break_even_bps(snapshot)
    for window in snapshot.bars if snapshot.quotes else ():
        yield from window_figures(window)
        yield from closes_bps(window, mids(snapshot.quotes[-1:])[0])
    regime = bar_regime(snapshot.bars[0]) if snapshot.bars else None
    if regime is not None:
        yield from (regime.minute_volatility_bps, regime.t)


def _known(values: Iterable[float | None]) -> list[float]:
    return [each for each in values if each is not None and math.isfinite(each)]


def _quoted(quotes: tuple[QuoteRow, ...]) -> Iterator[float]:
    """Yields prices and mids, and sizes where the tape has them."""
    for row in quotes:
        yield from (row.bid, row.ask)
        yield from (size for size in (row.bid_size, row.ask_size) if size > 0)
    yield from mids(quotes)


def _extremes(quotes: tuple[QuoteRow, ...]) -> tuple[float, ...]:
    if not quotes:
        return ()
    bids, asks = [row.bid for row in quotes], [row.ask for row in quotes]
    return min(bids), max(bids), min(asks), max(asks)


def _changes(quotes: tuple[QuoteRow, ...]) -> tuple[float, ...]:
    """Returns the changes from the first to the last quote, and the last and mean spread, as prices."""
    if not quotes:
        return ()
    first, last = quotes[0], quotes[-1]
    mean_spread = math.fsum((row.ask - row.bid) / len(quotes) for row in quotes)
    moved = last.bid - first.bid, last.ask - first.ask, last.mid - first.mid
    return *moved, last.ask - last.bid, mean_spread


def _money(snapshot: Snapshot) -> Iterator[float]:
    held, bounds = snapshot.position, snapshot.limits
    yield from map(float, (snapshot.cash, snapshot.equity, snapshot.buying_power, snapshot.exposure))
    yield from (float(held.quantity), held.price, held.take_profit, held.stop_loss)
    yield from map(float, (bounds.min_order_notional, bounds.max_order_notional))
    yield from map(float, (bounds.max_position_notional, bounds.max_exposure_notional))


def _gain_bps(snapshot: Snapshot) -> tuple[float, ...]:
    """Returns what the position gains at the last quote, where the account text shows it."""
    held = snapshot.position
    if not (held.quantity and snapshot.quotes and held.price > 0):
        return ()
    return (held.gain_bps(snapshot.quotes[-1]),)


def _limits_bps(bounds: AgentLimits) -> tuple[float, ...]:
    """Returns exits, the stop-loss with both signs, entry conditions, and the fee one way and both ways."""
    fee = float(bounds.fee_bps)
    exits = bounds.take_profit_bps, bounds.stop_loss_bps, -bounds.stop_loss_bps
    return *exits, bounds.min_edge_bps, bounds.max_spread_bps, fee, 2 * fee
