"""Fixed formulas that answer in place of a model: for runs without a model, and as a baseline for one.

They read the snapshot that the request was rendered from, never the prompt. For at most the last 50 quotes,
with mids m_1 … m_n and log returns r_i = ln(m_i / m_(i-1)):

    drift_bps  = 10^4 Σ r_i
    t          = mean(r) / (sd(r) / sqrt(n - 1)), sd with n - 2 in its denominator: Student's t of the mean,
                 not the t-value of the slope that prompts show
    spread_bps = mean of 10^4 (ask_i - bid_i) / m_i

Director: `trade long` if there are at least 20 quotes, t >= 0.5 and drift_bps >= 0.5 spread_bps. Otherwise
`no_trade`, with the direction `long` or `short` by the sign of the drift. If a position is held and the same
conditions hold downwards, the direction is `exit`, and the decision `trade` if the kind of deliberation is
`trade`. Where shorts are allowed, a clear fall is `trade short`, and a clear rise ends a short.
confidence_pct is 100 Φ(t) for a rise and 100 (1 - Φ(t)) otherwise; Φ is the standard normal
distribution function. key_levels are the lowest bid and the highest ask, within 50 % of the last mid.
horizon_minutes is the time span of the quotes, rounded up. On a random walk without a spread t >= 0.5 holds three times in ten, so the formula
has no edge.

Quant: `supported` if the later half of the quotes alone satisfies the Director's rule for a rise and
technical_score_pct, which is 100 Φ(t), is at least 50. `refuted` if that half drifts down by at least 0.5
spread_bps, else `uncertain`. Where shorts are allowed and all quotes together drift down, the same rule judges a
fall, with -t and up instead of down. support and resistance are the Director's key_levels. noise_bps = 10^4 sd(r) sqrt(n - 1) is the standard
deviation of a random move over the span of the quotes; `volatility` is `fail` if it exceeds the widest
stop-loss that Risk may set.

Risk: cost_bps = two fees plus the spread. stop_loss_bps = 2 noise_bps, limited to its bounds. take_profit_bps
is the least value that satisfies its lower bound, the ratio of reward to risk, and twice the cost. `reject`
if that exceeds the upper bound; else size_pct = 100 (1 - cost_bps / take_profit_bps).

Execution: `market` and `ioc` at a spread of at most 2 bps, else `limit` and `gtc`, half a spread lower.

Learning: over the closed trades, the mean of gain_bps = 10^4 (exit / entry - 1), negated for a short, and the
profit after fees.
The lesson states whether these trades were profitable, and is valid for one hour per trade, at most a day.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from autohedge.core.returns import drift_t, log_returns, mean, mids, spreads_bps, volatility_bps
from autohedge.core.snapshots import ClosedTrade, QuoteRow, Snapshot
from autohedge.core.units import NS_PER_MINUTE
from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse

QUOTES_READ, LEAST_QUOTES = 50, 20
LEAST_T, LEAST_SPREADS = 0.5, 0.5
NARROW_BPS = 2.0
EVEN_PCT = 50
LESSON_MINUTES, MOST_LESSON_MINUTES = 60, 1440


@dataclass(frozen=True, slots=True)
class Trend:
    """The inputs of the Director's rule; `t` is 0 where it is undefined."""

    quotes: int
    drift_bps: float
    t: float
    spread_bps: float

    def is_clear(self, sign: int) -> bool:
        """Whether the drift in the direction of `sign` is large enough against its noise and the spread."""
        far = sign * self.drift_bps >= LEAST_SPREADS * self.spread_bps
        return self.quotes >= LEAST_QUOTES and sign * self.t >= LEAST_T and far


class RulesBackend:
    """The formulas behind the interface of a model; `find_snapshot` finds a snapshot by its hash."""

    name = "rules"
    model = "rules-1"
    server = "rules"

    def __init__(self, find_snapshot: Callable[[str], Snapshot]) -> None:
        self._find_snapshot = find_snapshot

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Answers from the request's snapshot.

        Raises LLMError if the snapshot is unknown or the agent has no rule.
        """
        text = msgspec.json.encode(self._answer(request)).decode()
        return LLMResponse(
            text=text,
            finish_reason="stop",
            model=self.model,
            server=self.server,
            sent_as="native",
            usage=None,
            service_ms=0.0,
        )

    async def close(self) -> None:
        """Does nothing: there is no connection."""

    def _answer(self, request: LLMRequest) -> dict[str, Any]:
        rule = RULES.get(request.agent)
        if rule is None:
            raise LLMError("bad_request", f"no rule answers for {request.agent}; choose another llm.provider")
        try:
            snapshot = self._find_snapshot(request.snapshot)
        except KeyError:
            raise LLMError("bad_request", f"there is no snapshot {request.snapshot}") from None
        return rule(snapshot)


def trend(quotes: tuple[QuoteRow, ...]) -> Trend:
    """Returns drift, t-value and mean spread of the last 50 quotes."""
    read = quotes[-QUOTES_READ:]
    returns = log_returns(mids(read))
    return Trend(
        quotes=len(read),
        drift_bps=math.fsum(returns) * 1e4,
        t=drift_t(returns) or 0.0,
        spread_bps=mean(spreads_bps(read)) or 0.0,
    )


def verdict(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the Director's answer."""
    found = trend(snapshot.quotes)
    rises, chance = found.is_clear(1), _chance(found.t)
    direction = _direction(found, snapshot.position.direction)
    enters = (rises or found.is_clear(-1)) and direction in snapshot.limits.directions
    leaves = direction == "exit" and snapshot.kind == "trade"
    return {
        "decision": "trade" if enters or leaves else "no_trade",
        "symbol": snapshot.symbol,
        "direction": direction,
        "confidence_pct": round(100 * (chance if rises else 1 - chance)),
        "thesis": _thesis(found),
        "key_levels": _levels(snapshot),
        "horizon_minutes": _horizon_minutes(snapshot.quotes[-QUOTES_READ:]),
    }


def lesson(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the Learning agent's answer."""
    closed = snapshot.closed_trades
    profit = sum((trade.net for trade in closed), Decimal(0))
    gain_bps = mean([trade.move_bps for trade in closed]) or 0.0
    move = "move" if any(trade.direction == "short" for trade in closed) else "rise"
    won = sum(trade.net > 0 for trade in closed)
    return {
        "expected": f"A {move} that earns more than its fees.",
        "happened": f"{won} of {len(closed)} trades earned more than their fees.",
        "lesson": _lesson(snapshot.symbol, len(closed), profit),
        "evidence": (
            f"{gain_bps:+.1f} bps on average before fees, {profit:+.2f} after fees, {_exits(closed)}."
        ),
        "valid_for_minutes": min(max(1, len(closed)) * LESSON_MINUTES, MOST_LESSON_MINUTES),
    }


def finding(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the Quant's answer."""
    read = snapshot.quotes[-QUOTES_READ:]
    whole, late = trend(read), trend(read[len(read) // 2 :])
    sign = -1 if "short" in snapshot.limits.directions and whole.drift_bps < 0 else 1
    score_pct = round(100 * _chance(sign * whole.t))
    if late.is_clear(sign) and score_pct >= EVEN_PCT:
        thesis = "supported"
    else:
        thesis = "refuted" if sign * late.drift_bps <= -LEAST_SPREADS * late.spread_bps else "uncertain"
    lowest, highest = _levels(snapshot) or (0.0, 0.0)
    return {
        "symbol": snapshot.symbol,
        "thesis": thesis,
        "technical_score_pct": score_pct,
        "support": lowest,
        "resistance": highest,
        "volatility": "pass" if noise_bps(read) <= snapshot.limits.stop_losses_bps[1] else "fail",
    }


def noise_bps(quotes: tuple[QuoteRow, ...]) -> float:
    """Returns the standard deviation of a random move over the span of the quotes, in bps."""
    volatility = volatility_bps(mids(quotes))
    return 0.0 if volatility is None else volatility * math.sqrt(len(quotes) - 1)


def assessment(snapshot: Snapshot) -> dict[str, Any]:
    """Returns Risk's answer."""
    read, bounds = snapshot.quotes[-QUOTES_READ:], snapshot.limits
    least_stop, most_stop = bounds.stop_losses_bps
    least_take, most_take = bounds.take_profits_bps
    stop_bps = min(max(round(2 * noise_bps(read)), least_stop), most_stop)
    cost_bps = 2 * float(bounds.fee_bps) + trend(read).spread_bps
    take_bps = max(least_take, math.ceil(bounds.least_reward_to_risk * stop_bps), math.ceil(2 * cost_bps))
    rejected = take_bps > most_take
    return {
        "symbol": snapshot.symbol,
        "decision": "reject" if rejected else "approve",
        "size_pct": 0 if rejected else round(100 * (1 - cost_bps / take_bps)),
        "take_profit_bps": take_bps,
        "stop_loss_bps": stop_bps,
        "reason": f"A gain of {take_bps} bps against a cost of {cost_bps:.1f} bps.",
    }


def placement(snapshot: Snapshot) -> dict[str, Any]:
    """Returns Execution's answer."""
    spread_bps = trend(snapshot.quotes[-QUOTES_READ:]).spread_bps
    waits = spread_bps > NARROW_BPS
    return {
        "symbol": snapshot.symbol,
        "order_type": "limit" if waits else "market",
        "offset_bps": min(round(spread_bps / 2), snapshot.limits.most_offset_bps) if waits else 0,
        "time_in_force": "gtc" if waits else "ioc",
    }


RULES: dict[str, Callable[[Snapshot], dict[str, Any]]] = {
    "director": verdict,
    "quant": finding,
    "risk": assessment,
    "execution": placement,
    "learning": lesson,
}


def _chance(t: float) -> float:
    """Returns Φ(t) of the standard normal distribution."""
    return (1 + math.erf(t / math.sqrt(2))) / 2


def _direction(found: Trend, held: str) -> str:
    if (held == "long" and found.is_clear(-1)) or (held == "short" and found.is_clear(1)):
        return "exit"
    return "long" if found.drift_bps >= 0 else "short"


def _thesis(found: Trend) -> str:
    if found.quotes < LEAST_QUOTES:
        return f"Only {found.quotes} quotes, {LEAST_QUOTES} are needed."
    return (
        f"Drift {found.drift_bps:+.2f} bps over {found.quotes} quotes, t {found.t:+.2f}, "
        f"mean spread {found.spread_bps:.2f} bps."
    )


def _levels(snapshot: Snapshot) -> list[float]:
    """Returns the lowest bid and the highest ask, limited to plausible prices; empty without quotes."""
    quotes, (least, most) = snapshot.quotes[-QUOTES_READ:], snapshot.plausible_prices
    return (
        [max(least, min(row.bid for row in quotes)), min(most, max(row.ask for row in quotes))]
        if quotes
        else []
    )


def _horizon_minutes(quotes: tuple[QuoteRow, ...]) -> int:
    # Two negations round the quotient up.
    return max(1, -((quotes[0].ts_ns - quotes[-1].ts_ns) // NS_PER_MINUTE)) if quotes else 1


def _lesson(symbol: str, trades: int, profit: Decimal) -> str:
    if not trades:
        return "No trade has ended, so there is no lesson."
    paid = "paid" if profit > 0 else "did not pay"
    return f"The last {trades} trades in {symbol} {paid} after fees; so few prove little."


def _exits(closed: tuple[ClosedTrade, ...]) -> str:
    reasons = sorted({trade.reason for trade in closed})
    return f"ended by {', '.join(reasons)}" if reasons else "none ended"
