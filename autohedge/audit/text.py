"""A conversation in words, the same on every surface; text of strangers made harmless."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from autohedge.audit import turns
from autohedge.audit.audit import Audit
from autohedge.audit.conversations import Conversation
from autohedge.core.abstentions import describe
from autohedge.core.clock import format_utc
from autohedge.core.events import GateChanged
from autohedge.core.units import NS_PER_S
from autohedge.llm.errors import one_line
from autohedge.llm.parsing import extract
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.records.round_trips import RoundTrip, TrackedOrder, TripFill

AMOUNT_STEP = Decimal("0.0001")
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


def utc_text(ts_ns: int) -> str:
    """A moment of the tape, UTC."""
    return f"{format_utc(ts_ns)} UTC"


def verdict(conversation: Conversation) -> str:
    """The decision in a few words: `trade long 74 %`."""
    decision = conversation.decision
    if decision is None:
        return "no answer"
    parts: list[str] = [decision.verdict, decision.direction]
    if decision.verdict in {"trade", "no_trade"}:
        parts.append(f"{decision.confidence_pct} %")
    parts.append(one_line(decision.code))
    return " ".join(part for part in parts if part) + (", too late" if conversation.given_up else "")


def answer_text(conversation: Conversation) -> str:
    """When the engine knew the answer, what it was, by whom; or why there is none."""
    decision = conversation.decision
    if decision is None:
        why = GIVEN_UP.get(conversation.given_up, "the run ended before one came")
        unseen_note = "; what the transcript has was never known to the engine" if conversation.calls else ""
        return f"no answer: {why}{unseen_note}"
    after_s = (decision.at_ns - decision.asked_ns) / NS_PER_S
    summary = f"{verdict(conversation)}, {after_s:.3f} s after the question, by {one_line(decision.source) or 'nobody'}"
    late = f"; it changed nothing: {GIVEN_UP[conversation.given_up]}" if conversation.given_up else ""
    return f"{summary}{cache_note(conversation)}{late}"


def cache_note(conversation: Conversation) -> str:
    """Since when a verdict holds that was not asked for anew; empty for one that was."""
    decision = conversation.decision
    if decision is None or decision.source != "cache":
        return ""
    return f", a verdict that was kept, of {utc_text(decision.decided_ns or decision.asked_ns)}"


def no_call_reason(conversation: Conversation) -> str:
    """Why no model was asked; empty where one was, or where that is not known."""
    decision = conversation.decision
    if decision is None or any(call.request for call in conversation.calls):
        return ""
    if decision.source == "cache":
        return f"no model was asked{cache_note(conversation)}"
    if decision.source == "bypass":
        code = one_line(decision.code)
        return f"no model was asked: {BYPASSES.get(decision.code, code)} (bypass {code})"
    return f"no call was made: {one_line(decision.code)}" if conversation.calls else ""


def gate(conversation: Conversation) -> str:
    """What the answer, or its absence, did to the gate."""
    change, ended = conversation.gate, conversation.ended
    if conversation.question.kind == "learning":
        return "a lesson; it changes no gate"
    if change is None:
        return f"stayed {conversation.state}"
    return _change(change) + (f"; {_end(change, ended)}" if ended else "")


def _change(change: GateChanged) -> str:
    until = f", at most until {format_utc(change.valid_until_ns)}" if change.valid_until_ns else ""
    return f"{change.state} ({one_line(change.why)}) at {format_utc(change.at_ns)}{until}"


def _end(change: GateChanged, ended: GateChanged) -> str:
    how = (
        "prolonged by a later verdict" if ended.state == "open" else f"{ended.state} ({one_line(ended.why)})"
    )
    return f"{how} after {(ended.at_ns - change.at_ns) / NS_PER_S:.1f} s"


def pnl_text(conversation: Conversation) -> str:
    """Its round trips in a few words: `2 trips -0.1234`."""
    filled = [trip for trip in conversation.trips if any(order.fills for order in trip.orders)]
    if not filled:
        return f"{len(conversation.trips)} unfilled" if conversation.trips else ""
    net = sum((trip.totals.net for trip in filled if trip.closed_ns), Decimal(0))
    open_trips = sum(not trip.closed_ns for trip in filled)
    ended = len(filled) - open_trips
    parts = [f"{ended} trip{'s' if ended > 1 else ''} {money(net)}" if ended else ""]
    parts.append(f"{open_trips} open" if open_trips else "")
    return ", ".join(part for part in parts if part)


def trip_line(trip: RoundTrip) -> str:
    """What a round trip came to."""
    if not any(order.fills for order in trip.orders):
        return "nothing was filled"
    if not trip.closed_ns:
        return f"still open, {trip.held} held; fees {money(trip.totals.fees, signed=False)}"
    parts = f"{money(trip.totals.realized)} realized, {money(trip.totals.fees, signed=False)} fees"
    return f"{money(trip.totals.net)} net ({parts}), closed {format_utc(trip.closed_ns)}"


def order_line(order: TrackedOrder) -> str:
    """An order as it was sent, and its state."""
    at = "at market" if order.limit is None else f"at {order.limit}"
    when = format_utc(order.at_ns) if order.at_ns else "found at the venue"
    return (
        f"{str(order.side).lower()} {order.quantity} {at} · {one_line(order.reason)} · {order.state} · {when}"
    )


def fill_line(fill: TripFill) -> str:
    """A fill."""
    return f"filled {fill.quantity} at {fill.price} · fee {money(fill.fee, signed=False)} · {format_utc(fill.ts_ns)}"


def money(amount: Decimal, *, signed: bool = True) -> str:
    """An amount to a hundredth of a cent."""
    return f"{amount.quantize(AMOUNT_STEP):{'+' if signed else ''},}"


def call_line(call: Call) -> str:
    """Who was called with what, how long it took, what came of it."""
    parts = [f"{one_line(call.outcome)}", f"{call.queue_ms:.0f} ms in the queue"]
    if call.response:
        parts += [f"{call.response.service_ms:.0f} ms service", _tokens(call)]
        parts.append(
            f"{one_line(call.response.model)} at {one_line(call.response.server)}, as {one_line(call.response.sent_as)}"
        )
        parts.append(f"ended by {one_line(call.response.finish_reason)}")
    if call.tries != 1:
        parts.append(f"{call.tries} tries")
    return " · ".join(parts)


def _tokens(call: Call) -> str:
    usage = call.response.usage if call.response else None
    return f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else "tokens not counted"


def prompt_line(audit: Audit, call: Call) -> str:
    """The prompt by name, version and hash, and how it was sent."""
    if call.request is None:
        return ""
    prompt, request = audit.prompt(call), call.request
    heat = f"temperature {request.temperature:g}, at most {request.max_tokens} tokens"
    if prompt is None:
        return f"{one_line(request.agent)}, hash {one_line(request.prompt_hash)}, no prompt that the run recorded; {heat}"
    version = "unknown version" if prompt.version is None else f"version {prompt.version}"
    return f"{one_line(prompt.name)}, {version}, hash {prompt.hash}, files/{prompt.file}; {heat}"


def parsed(call: Call) -> str:
    """The JSON object that was found in the answer, in readable form; empty if there was none."""
    found = extract(call.response.text) if call.response else None
    return msgspec.json.format(msgspec.json.encode(found.value), indent=2).decode() if found else ""


def summary_text(conversation: Conversation) -> str:
    """What was said in one line: the thesis or lesson of the answer taken, or what was wrong."""
    lessons = turns.accepted_answers(conversation, "learning")
    if answer := turns.verdict(conversation) or (lessons[-1] if lessons else {}):
        return one_line(str(answer.get("thesis") or answer.get("lesson") or ""))
    for call in reversed(conversation.calls):
        if call.failure:
            return one_line(call.failure)
    return no_call_reason(conversation) or ("" if conversation.decision else answer_text(conversation))


def checks(conversation: Conversation) -> Iterator[tuple[str, str]]:
    """What was made of the Director's answer by arithmetic: its figures, how sure it is, how far samples agree."""
    decision, answer = conversation.decision, turns.verdict(conversation)
    if decision is None or not answer:
        return
    yield "figures", unsupported(conversation) or "every figure of the thesis is borne out"
    stated = answer.get("confidence_pct")
    lowered = "" if stated == decision.confidence_pct else f", {decision.confidence_pct} % after that"
    yield "sure", f"{one_line(str(stated))} % as stated{lowered}"
    if len(turns.accepted_answers(conversation, turns.DIRECTOR)) > 1 or decision.agreement_pct < 100:
        yield "agreed", agreement(conversation)


def unsupported(conversation: Conversation) -> str:
    """The figures that a thesis cites and nothing bears out; empty if there are none."""
    decision = conversation.decision
    named = ", ".join(map(one_line, decision.unsupported)) if decision else ""
    return f"not borne out: {named}" if named else ""


def agreement(conversation: Conversation) -> str:
    """How far the Director's samples agree."""
    return (
        f"{conversation.decision.agreement_pct if conversation.decision else 0} % of the Director's samples"
    )


def proposal(conversation: Conversation) -> str:
    """What the agents proposed; empty without a proposal."""
    proposed = conversation.decision.proposal if conversation.decision else None
    if proposed is None:
        return ""
    exits = f"take-profit +{proposed.take_profit_bps} bps, stop-loss -{proposed.stop_loss_bps} bps"
    lower = (
        f"a limit {proposed.offset_bps} bps below that of the settings"
        if proposed.offset_bps
        else "the settings' limit"
    )
    return f"{proposed.size_pct} % of what sizing allows, {exits}, {lower}, {proposed.time_in_force}"


def engine_text(conversation: Conversation) -> str:
    """What the engine made of a proposal, by code and in words; empty where it was told of none."""
    code = conversation.disposed
    if not code:
        return ""
    meaning = describe(code)
    return f"{one_line(code)}: {meaning}" if meaning != code else one_line(code)


def placed(conversation: Conversation) -> Iterator[str]:
    """The order that the engine sent, with its id, and its exits; nothing without one."""
    if order := conversation.sent:
        yield f"{short_order(order)}, {one_line(order.order_id)}"
        if exit_levels := exits(order):
            yield exit_levels


def short_order(order: TrackedOrder) -> str:
    """An order without when, why and what became of it."""
    at = "at market" if order.limit is None else f"at {order.limit}"
    return f"{str(order.side).lower()} {order.quantity} {at}, {order.time_in_force.lower()}"


def exits(order: TrackedOrder) -> str:
    """The exits that go with an order; empty without them."""
    prices = (("take-profit", order.take_profit), ("stop-loss", order.stop_loss))
    return ", ".join(f"{name} {price:.10g}" for name, price in prices if price)


def notes(conversation: Conversation) -> Iterator[str]:
    """What a list says below the thesis, a line each."""
    decision = conversation.decision
    if refused := turns.refusal(conversation):
        yield refused
    if decision and (figures := unsupported(conversation)):
        yield figures
    if decision and decision.agreement_pct < 100 and decision.source != "bypass":
        yield f"agreed: {agreement(conversation)}"
    if decision and decision.source == "cache":
        yield cache_note(conversation).removeprefix(", ")
    if ended := engine_text(conversation):
        yield ended
    if order := conversation.sent:
        yield f"{one_line(order.order_id)}: {short_order(order)}, {order.state}"


def _refusals(codes: Counter[str]) -> str:
    """Who said no how often: `107 by Director (107 no_trade), 1 by Quant (1 refuted)`."""
    by: dict[str, Counter[str]] = {}
    for code, count in codes.items():
        by.setdefault(turns.REFUSED_BY.get(code, "nobody known"), Counter())[code] += count
    parts = (
        f"{each.total()} by {name.capitalize()} ({', '.join(f'{n} {one_line(code)}' for code, n in each.most_common())})"
        for name, each in sorted(by.items(), key=lambda item: -item[1].total())
    )
    return ", ".join(parts)


def summary_lines(audit: Audit) -> Iterator[str]:
    """The run in a few lines: who answered, what was asked, what came of it."""
    stats, call_stats = audit.stats, audit.call_stats
    who = f"{one_line(audit.provider)} · {one_line(audit.model)} · {one_line(audit.server)}"
    yield f"answered by {'rules, a written formula: no model was asked' if audit.provider == 'rules' else who}"
    outcomes = ", ".join(f"{count} {name}" for name, count in stats.outcomes.most_common())
    yield f"{stats.asked} questions: {outcomes or 'none'}"
    codes = ", ".join(f"{count} {one_line(code)}" for code, count in stats.abstentions.most_common() if count)
    yield f"abstentions: {codes or 'none'}"
    if stats.refusals:
        yield f"refusals: {_refusals(stats.refusals)}"
    if stats.disposed:
        ended = ", ".join(f"{count} {one_line(code)}" for code, count in stats.disposed.most_common())
        yield f"what the engine made of them: {ended}"
    calls = f"{call_stats.calls} calls ({call_stats.repaired} repaired), {stats.saved} questions answered without one"
    yield f"{calls}; {call_stats.prompt_tokens:,} + {call_stats.completion_tokens:,} tokens"
    mean_ms = call_stats.service_ms / call_stats.calls if call_stats.calls else 0.0
    times = f"service {mean_ms:.0f} ms on average, {call_stats.slowest_ms:.0f} at most"
    yield f"{times}; longest wait in the queue {call_stats.longest_queue_ms:.0f} ms"
    for prompt in audit.prompts:
        if prompt.at_ns:
            change = f"{one_line(prompt.name)}, hash {one_line(prompt.hash)}, from question {prompt.since} on"
            yield f"prompt changed at {utc_text(prompt.at_ns)}: {change}"
    if call_stats.unclaimed:
        yield f"{call_stats.unclaimed} lines of the transcript belong to no decision: the run ended before they were known"
    if not audit.finished:
        yield "the run did not finish: this is as far as its journal goes"
