"""One conversation as text, the same on a terminal and on a page; untrusted text is made printable."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from autohedge.audit import turns
from autohedge.audit.audit import Audit
from autohedge.audit.conversations import Conversation
from autohedge.audit.figures import (
    clock_text,
    count,
    money,
    price,
    price_places,
    quantity,
    short_id,
    utc_text,
)
from autohedge.core.abstentions import describe
from autohedge.core.clock import format_utc
from autohedge.core.events import Decision, GateChanged
from autohedge.core.orders import ACTIONS
from autohedge.core.units import NS_PER_S
from autohedge.llm.errors import one_line
from autohedge.llm.extraction import ExtractionMethod
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.records.round_trips import RoundTrip, TrackedOrder, TripFill
from autohedge.tools.claims import KEY_LEVEL

BYPASSES = {
    "limits": "no order could have passed the limits",
    "no_edge": "the price had not moved over the whole snapshot",
    "halted": "trading was halted",
    "no_history": "fewer than two quotes were known",
    "stale_data": "the last quote was over a minute old",
}
GIVEN_UP = {
    "timeout": "the engine's deadline had passed",
    "halted": "trading had been halted",
    "restarted": "the run had been restarted",
}
# The order that these codes stand for is shown beside them.
SHOWN_BY_ORDER = frozenset({"entry", "exit_signal"})
DIRECT: ExtractionMethod = "direct"


def verdict(conversation: Conversation) -> str:
    """Returns the decision in short: `trade long 74 %`."""
    decision = conversation.decision
    if decision is None:
        return "no answer"
    parts: list[str] = [decision.verdict, decision.direction]
    # The other verdicts are not the Director's, so they have no confidence.
    if decision.verdict in {"trade", "no_trade"}:
        parts.append(f"{decision.confidence_pct} %")
    parts.append(one_line(decision.code))
    return " ".join(part for part in parts if part) + (", too late" if conversation.given_up else "")


def answer_text(conversation: Conversation) -> str:
    """Returns the decision, when the engine received it and from whom, or why there is none."""
    joint = ": " if conversation.decision is None else ", "
    return f"{verdict(conversation)}{joint}{source_text(conversation)}"


def source_text(conversation: Conversation) -> str:
    """Returns where the decision came from and after how long, or why there is none."""
    decision = conversation.decision
    if decision is None:
        why = GIVEN_UP.get(conversation.given_up, "the run ended first")
        unseen_note = "; the answer in the transcript never reached the engine" if conversation.calls else ""
        return f"{why}{unseen_note}"
    after_s = (decision.at_ns - decision.asked_ns) / NS_PER_S
    source = f"by {one_line(decision.source) or 'an unnamed source'} after {after_s:.3f} s"
    late = f"; without effect: {GIVEN_UP[conversation.given_up]}" if conversation.given_up else ""
    cost = f", for {decision.spend.cost_text}" if decision.spend and decision.spend.cost_text else ""
    return (cache_note(conversation) or source) + cost + late


def cache_note(conversation: Conversation) -> str:
    """Returns that a verdict came from the cache, and when it was requested; empty for one that did not."""
    decision = conversation.decision
    if decision is None or decision.source != "cache":
        return ""
    return f"cache hit, verdict of {utc_text(decision.decided_ns or decision.asked_ns)}"


def no_call_reason(conversation: Conversation) -> str:
    """Returns why no request is shown; empty if one is, if the cache answered, or if that is not known."""
    decision = conversation.decision
    if conversation.lost:
        return "requests missing from the transcript, as a restart found it"
    if decision is None or any(call.request for call in conversation.calls):
        return ""
    code = one_line(decision.code)
    if decision.source == "bypass":
        return f"no LLM request: {BYPASSES.get(decision.code, code)}"
    uncached = bool(conversation.calls) and decision.source != "cache"
    return f"no LLM request: {code}" if uncached else ""


def gate(conversation: Conversation) -> str:
    """Returns how the gate changed on the answer, or on its absence."""
    change, ended = conversation.gate, conversation.ended
    if conversation.question.kind == "learning":
        return "unchanged by a lesson"
    if change is None:
        return f"unchanged, {conversation.state}"
    return _change(change) + (f"; {_end(change, ended)}" if ended else "")


def _change(change: GateChanged) -> str:
    until = f", until {format_utc(change.valid_until_ns)} at the latest" if change.valid_until_ns else ""
    direction = " for shorts" if (change.state, change.direction) == ("open", "short") else ""
    return f"{change.state}{direction} ({one_line(change.why)}) at {format_utc(change.at_ns)}{until}"


def _end(change: GateChanged, ended: GateChanged) -> str:
    prolonged = ended.state == "open"
    how = "prolonged by a later verdict" if prolonged else f"{ended.state} ({one_line(ended.why)})"
    return f"{how} after {(ended.at_ns - change.at_ns) / NS_PER_S:.1f} s"


def pnl_parts(conversation: Conversation) -> tuple[str, str]:
    """Returns the net P&L of its closed round trips, and a remark: `-0.12` and `2 trips, 1 open`."""
    filled = [trip for trip in conversation.trips if any(order.fills for order in trip.orders)]
    closed = [trip.reported(trip.totals.net) for trip in filled if trip.closed_ns]
    remarks = [f"{len(closed)} trips"] if len(closed) > 1 else []
    if still_open := len(filled) - len(closed):
        remarks.append(f"{still_open} open" if closed or still_open > 1 else "open")
    if conversation.trips and not filled:
        remarks.append("unfilled")
    return money(sum(closed, Decimal(0))) if closed else "", ", ".join(remarks)


def trip_line(trip: RoundTrip) -> str:
    """Returns the result of a round trip."""
    fees = money(trip.totals.fees, signed=False)
    if not any(order.fills for order in trip.orders):
        return "not filled"
    if not trip.closed_ns:
        return f"open, {quantity(trip.held)} held, fees {fees}"
    parts = f"gross {money(trip.totals.realized)}, fees {fees}"
    return f"net P&L {money(trip.totals.net)} ({parts}), closed {utc_text(trip.closed_ns)}"


def trip_lines(trip: RoundTrip) -> Iterator[str]:
    """Yields the result of a round trip, then its orders, each with its exit levels and fills."""
    yield trip_line(trip)
    places = price_places(trip.orders)
    for order in trip.orders:
        yield from order_lines(order, places)


def order_lines(order: TrackedOrder, places: int | None = None) -> Iterator[str]:
    """Yields an order with its whole id, its exit levels, and its fills if they are not one whole fill."""
    places = price_places([order]) if places is None else places
    when = utc_text(order.at_ns) if order.at_ns else "found at the venue"
    state = _whole_fill(order, places) or order.state
    lead = f"{one_line(order.reason)}: " if order.reason else ""
    yield f"{lead}{short_order(order, places)} · {state} · {when} · order {one_line(order.order_id)}"
    if exit_levels := exits(order, places):
        yield exit_levels
    if not _whole_fill(order, places):
        yield from (_fill_line(fill, places) for fill in order.fills)


def _whole_fill(order: TrackedOrder, places: int | None) -> str:
    """Returns the fill of an order that one fill completed; empty for others."""
    if len(order.fills) != 1 or order.state != "filled":
        return ""
    (fill,) = order.fills
    return f"filled at {price(fill.price, places)}, fee {money(fill.fee, signed=False)}"


def _fill_line(fill: TripFill, places: int | None) -> str:
    filled = f"filled {quantity(fill.quantity)} at {price(fill.price, places)}"
    return f"{filled}, fee {money(fill.fee, signed=False)} · {utc_text(fill.ts_ns)}"


def placed(order: TrackedOrder) -> Iterator[str]:
    """Yields an order as it was sent, with its whole id, and its exit levels."""
    places = price_places([order])
    yield f"{short_order(order, places)} · order {one_line(order.order_id)}"
    if exit_levels := exits(order, places):
        yield exit_levels


def short_order(order: TrackedOrder, places: int | None = None) -> str:
    """Returns what was ordered: `buy 0.000536 at 94,992.2, ioc`."""
    at = "at market" if order.limit is None else f"at {price(order.limit, places)}"
    force = f", {order.time_in_force.lower()}" if order.time_in_force else ""
    return f"{ACTIONS[order.side, order.purpose]} {quantity(order.quantity)} {at}{force}"


def exits(order: TrackedOrder, places: int | None = None) -> str:
    """Returns the exit levels of an order; empty without them."""
    levels = (("take-profit", order.take_profit), ("stop-loss", order.stop_loss))
    return ", ".join(f"{name} {price(level, places)}" for name, level in levels if level)


def call_line(call: Call) -> str:
    """Returns the outcome of a request, the model, the times and the tokens."""
    parts = [one_line(call.outcome)]
    if response := call.response:
        parts.append(f"{one_line(response.model)} at {one_line(response.server)}")
        parts.append(_times(response.service_ms, call.queue_ms))
        if usage := response.usage:
            parts.append(f"{usage.prompt_tokens:,} input + {usage.completion_tokens:,} output tokens")
        parts.append(
            f"sent as {one_line(response.sent_as)}, finish reason {one_line(response.finish_reason)}"
        )
    if call.tries != 1:
        parts.append(count(call.tries, "attempt"))
    return " · ".join(part for part in parts if part)


def _times(service_ms: float, queue_ms: float) -> str:
    """Returns the time of the server and in the queue; empty where nothing took time, as for the rules."""
    queue = f" after {queue_ms:,.0f} ms in the queue" if queue_ms else ""
    return f"{service_ms:,.0f} ms{queue}" if service_ms or queue_ms else ""


def prompt_line(audit: Audit, call: Call, *, with_file: bool = True) -> str:
    """Returns the prompt of a request by name, version and file or hash, and its sampling parameters."""
    if call.request is None:
        return ""
    prompt, request = audit.prompt(call), call.request
    parameters = f"temperature {request.temperature:g}, at most {request.max_tokens:,} output tokens"
    if prompt is None:
        agent, prompt_hash = one_line(request.agent), one_line(request.prompt_hash)
        return f"{agent}, not among the prompts of the run: {prompt_hash}; {parameters}"
    which = f", files/{prompt.file}" if with_file else f" ({short_id(prompt.hash)})"
    return f"{version_text(prompt.name, prompt.version)}{which}; {parameters}"


def version_text(name: str, version: int | None) -> str:
    """Returns a prompt by name and version: `director, version 1`."""
    return f"{one_line(name)}, {'unknown version' if version is None else f'version {version}'}"


def parsed(call: Call) -> str:
    """Returns the JSON object found in the answer, as it was read, indented; empty if there is none."""
    answer = turns.answer_of(call)
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() if answer else ""


def raw_equals_parsed(call: Call) -> bool:
    """Returns whether the raw answer is one JSON object and nothing else, so that one of both suffices."""
    return call.parse == DIRECT and bool(parsed(call))


def parsed_title(call: Call) -> str:
    """Returns the heading of the object found in an answer."""
    if call.parse == DIRECT:
        return "answer" if turns.accepted(call) else "answer, rejected"
    return f"parsed ({one_line(call.parse)})" if turns.accepted(call) else "JSON object found, rejected"


def summary_text(conversation: Conversation) -> str:
    """Returns the thesis or lesson of the accepted answer, or why there is none."""
    lessons = turns.accepted_answers(conversation, "learning")
    if answer := turns.verdict(conversation) or (lessons[-1] if lessons else {}):
        return one_line(str(answer.get("thesis") or answer.get("lesson") or ""))
    decision = conversation.decision
    if decision is None:
        return source_text(conversation)
    if turns.refusal(conversation):
        return ""
    if decision.source == "cache":
        return _cached_summary(conversation, decision)
    failures = [call.failure for call in conversation.calls if call.failure]
    return one_line(failures[-1]) if failures else no_call_reason(conversation)


def _cached_summary(conversation: Conversation, decision: Decision) -> str:
    """Returns the time and the thesis of a cached verdict."""
    # Without its day, as a verdict is valid for minutes only.
    note = f"cache hit, verdict of {clock_text(decision.decided_ns or decision.asked_ns)}"
    thesis = cached_thesis(conversation)
    return f"{note}: {thesis}" if thesis else note


def cached_thesis(conversation: Conversation) -> str:
    """Returns the thesis of a cached verdict; empty without one."""
    answers = (call.cached.answer for call in conversation.calls if call.cached)
    return one_line(str(next(answers, {}).get("thesis") or ""))


def checks(conversation: Conversation) -> Iterator[tuple[str, str]]:
    """Yields the checks of the Director's answer: its figures, its confidence, the agreement of samples."""
    decision, answer = conversation.decision, turns.verdict(conversation)
    if decision is None or not answer:
        return
    # An abstention does not record these checks, so their absence means nothing there.
    if decision.verdict == "abstain":
        return
    yield "figures", unsupported(conversation) or "every figure in the thesis is in the data"
    if levels := implausible_levels(conversation):
        yield "key levels", levels
    stated = answer.get("confidence_pct")
    # The decision already has the confidence; it is explained only where a check lowered it.
    if stated != decision.confidence_pct:
        yield (
            "confidence",
            f"{one_line(str(stated))} % as stated, {decision.confidence_pct} % after the checks",
        )
    if len(turns.accepted_answers(conversation, turns.DIRECTOR)) > 1 or decision.agreement_pct < 100:
        yield "agreement", agreement(conversation)


def unsupported(conversation: Conversation) -> str:
    """Returns the figures of the thesis that are not in the data; empty if there are none."""
    named = ", ".join(each for each in _marked(conversation) if not each.startswith(KEY_LEVEL))
    return f"not in the data: {named}" if named else ""


def implausible_levels(conversation: Conversation) -> str:
    """Returns the Director's key levels that are far from the market; empty if there are none."""
    levels = [each.removeprefix(KEY_LEVEL) for each in _marked(conversation) if each.startswith(KEY_LEVEL)]
    return f"more than 50 % from the price: {', '.join(levels)}" if levels else ""


def _marked(conversation: Conversation) -> list[str]:
    decision = conversation.decision
    return [one_line(each) for each in decision.unsupported] if decision else []


def agreement(conversation: Conversation) -> str:
    """Returns how many of the Director's samples agree."""
    return (
        f"{conversation.decision.agreement_pct if conversation.decision else 0} % of the Director's samples"
    )


def proposal(conversation: Conversation) -> str:
    """Returns the agents' proposal; empty without one."""
    proposed = conversation.decision.proposal if conversation.decision else None
    if proposed is None:
        return ""
    is_short = conversation.decision is not None and conversation.decision.direction == "short"
    gain, loss, below = ("-", "+", "above") if is_short else ("+", "-", "below")
    levels = f"take-profit {gain}{proposed.take_profit_bps} bps, stop-loss {loss}{proposed.stop_loss_bps} bps"
    limit = (
        f"limit {proposed.offset_bps} bps {below} the settings'" if proposed.offset_bps else "settings' limit"
    )
    size = f"{'short ' if is_short else ''}{proposed.size_pct} % of the usual size"
    return f"{size}, {levels}, {limit}, {proposed.time_in_force}"


def engine_text(conversation: Conversation) -> str:
    """Returns how the engine resolved the deliberation: the code and its meaning; empty if it did not."""
    code = conversation.resolution
    if not code:
        return ""
    meaning = describe(code)
    return f"{one_line(code)}: {meaning}" if meaning != code else one_line(code)


def engine_detail(conversation: Conversation) -> str:
    """Returns the resolution where neither the decision nor a refusal says the same."""
    decision, code = conversation.decision, conversation.resolution
    # `no_trade` is the decision itself; the other codes that a decision has are explained by its refusal.
    known = decision and (code == decision.verdict or (code == decision.code and turns.refusal(conversation)))
    return "" if known else engine_text(conversation)


def in_trips(conversation: Conversation) -> bool:
    """Returns whether the order that the engine sent is among those of the conversation's round trips."""
    return any(conversation.sent is order for trip in conversation.trips for order in trip.orders)


def engine_code(conversation: Conversation) -> str:
    """Returns the engine's code where the decision does not already have it."""
    decision, code = conversation.decision, conversation.resolution
    return "" if decision and code in {decision.verdict, decision.code} else one_line(code)


def state_text(conversation: Conversation) -> str:
    """Returns the engine's code in llm mode, else the gate's state; empty for a lesson."""
    states = {"trade": engine_code(conversation), "gate": conversation.state}
    return states.get(conversation.question.kind, "")


def engine_note(conversation: Conversation) -> str:
    """Returns the meaning of the engine's code, where neither decision nor order explain it."""
    code = engine_code(conversation)
    return "" if not code or code in SHOWN_BY_ORDER else f"engine: {describe(conversation.resolution)}"


def notes(conversation: Conversation) -> Iterator[str]:
    """Yields what a list shows below the thesis, one line each."""
    decision = conversation.decision
    if refused := turns.refusal(conversation):
        yield refused
    if figures := unsupported(conversation):
        yield f"figures {figures}"
    if levels := implausible_levels(conversation):
        yield f"key levels {levels}"
    if decision and decision.agreement_pct < 100 and decision.source != "bypass":
        yield f"agreement: {agreement(conversation)}"
    if ended := engine_note(conversation):
        yield ended
    if order := conversation.sent:
        places = price_places([order])
        yield f"{short_order(order, places)} · {order.state} · order {short_id(order.order_id)}"


def gist(conversation: Conversation) -> list[str]:
    """Returns all that a list shows of a conversation below its decision."""
    return [line for line in (summary_text(conversation), *notes(conversation)) if line]
