"""The part of the page about decisions: one row each, which opens to the whole conversation."""

from collections.abc import Iterator
from itertools import groupby

from autohedge.audit import text
from autohedge.audit.agent_outcomes import agent_outcomes, outcomes_label
from autohedge.audit.audit import Audit
from autohedge.audit.conversations import Conversation
from autohedge.audit.figures import clock_text, day_text, utc_text
from autohedge.audit.html import block, escaped, figure, folded, items
from autohedge.audit.turns import Turn, turns
from autohedge.llm.transcript import TranscriptEntry as Call

ROLES = {"system": "System message", "user": "User message", "assistant": "Answer before"}


def decisions_section(audit: Audit) -> Iterator[str]:
    """Yields all decisions shown, oldest first, under the day on which they were requested."""
    yield f"<h2 id='decisions'>Decisions</h2>{_extent(audit)}"
    where = "Engine" if audit.mode == "llm" else "Gate"
    agents = "<span class='agents'>Agents</span>" if audit.mode == "llm" else ""
    yield f"<div class='decisions{'' if agents else ' short'}'><div class='cells head' aria-hidden='true'>"
    yield f"<span class='no'>No.</span><span>Time</span><span>Symbol</span>{agents}"
    yield f"<span class='outcome'><span>Decision</span><span>{where}</span></span>"
    yield "<span class='pnl'>Net P&amp;L</span><span>Reason</span></div>"
    unlinked = len(audit.conversations) - audit.whole
    numbered = enumerate(audit.conversations)
    for day, conversations in groupby(numbered, key=lambda each: day_text(each[1].question.at_ns)):
        yield f"<h3>{day}</h3>"
        for index, conversation in conversations:
            yield from _row(audit, conversation, linked=index >= unlinked)
    yield "</div>"


def _extent(audit: Audit) -> str:
    """Returns how much of the run the page has, where it has not all."""
    shown, matching = len(audit.conversations), audit.stats.fitting
    parts = [f"The last {shown:,} of {matching:,}."] if shown < matching else []
    if audit.whole < shown:
        parts.append(f"The last {audit.whole:,} have their conversations.")
    return f"<p class='dim'>{' '.join(parts)}</p>" if parts else ""


def _row(audit: Audit, conversation: Conversation, *, linked: bool) -> Iterator[str]:
    yield f"<details class='row'><summary class='cells'>{_cells(audit, conversation)}</summary>"
    number = conversation.number
    if not linked:
        command = f"autohedge audit {audit.run} --number {number}"
        yield f"<div class='body'><p>In full: <code>{escaped(command)}</code></p></div></details>"
        return
    # The id is inside, so that a browser which follows a link to it opens the row.
    yield f'<div class="body" id="q{number}">'
    yield from _conversation(audit, conversation)
    yield "</div></details>"


def _cells(audit: Audit, conversation: Conversation) -> str:
    """Returns the row; what it shows lies within its summary, so that a click anywhere opens it."""
    verdict, state = escaped(text.verdict(conversation)), escaped(text.state_text(conversation))
    amount, remark = text.pnl_parts(conversation)
    cells = {
        "no": str(conversation.number),
        "at": clock_text(conversation.question.at_ns),
        "symbol": escaped(conversation.symbol),
        "agents": _agents(conversation),
        "outcome": f"<span class='{conversation.outcome}'>{verdict}</span><span class='dim'>{state}</span>",
        "pnl": f"{figure(amount)} <span class='dim'>{escaped(remark)}</span>",
        "gist": "".join(f"<span>{escaped(line)}</span>" for line in text.gist(conversation)),
    }
    if audit.mode != "llm":
        del cells["agents"]
    return "".join(f"<span class='{name}'>{content}</span>" for name, content in cells.items())


def _agents(conversation: Conversation) -> str:
    outcomes = agent_outcomes(conversation)
    if not outcomes:
        return ""
    shapes = "".join(f"<i class='{outcome.replace(' ', '-')}'></i>" for outcome in outcomes)
    return f"<span class='agent-outcomes' role='img' aria-label='{outcomes_label(outcomes)}'>{shapes}</span>"


def _conversation(audit: Audit, conversation: Conversation) -> Iterator[str]:
    question = conversation.question
    yield "<dl class='facts'>" + items("Asked", [f"{utc_text(question.at_ns)}: {conversation.why}"])
    yield items("Answered" if conversation.decision else "No answer", [text.source_text(conversation)])
    yield "</dl>"
    for turn in turns(conversation.calls):
        yield from _call(audit, turn)
    if outcome := "".join(_outcome(conversation)):
        yield f"<h4>Outcome</h4><dl class='facts'>{outcome}</dl>"


def _outcome(conversation: Conversation) -> Iterator[str]:
    """Yields what the row above does not show, or only in short."""
    for label, value in text.checks(conversation):
        yield items(label.capitalize(), [value])
    yield items("Proposal", [text.proposal(conversation)])
    yield items("Engine", [text.engine_detail(conversation)])
    if (order := conversation.sent) and not text.in_trips(conversation):
        yield items("Order", text.order_lines(order))
    if conversation.question.kind == "gate":
        yield items("Gate", [text.gate(conversation)])
    for trip in conversation.trips:
        yield items("Round trip", text.trip_lines(trip))


def _call(audit: Audit, turn: Turn) -> Iterator[str]:
    call = turn.call
    if call.request is None:
        return
    yield f"<h4>{escaped(turn.title)}</h4><dl class='facts'>"
    yield items("Prompt", [text.prompt_line(audit, call, with_file=False)])
    yield items("Request", [text.call_line(call)])
    yield items("Failure", [call.failure])
    yield items("Refusal", [call.response.refusal or "" if call.response else ""]) + "</dl>"
    for message in call.request.messages[turn.shown :]:
        yield folded(ROLES[message.role], block(message.content))
    yield from _answer(call)


def _answer(call: Call) -> Iterator[str]:
    """Yields the object that was found in the answer, and the raw answer, folded where it is nothing else."""
    folds = text.raw_equals_parsed(call)
    if call.response and not folds:
        yield folded("Raw answer", block(call.response.text), shown=True)
    if found := text.parsed(call):
        title = text.parsed_title(call)
        yield folded(title[:1].upper() + title[1:], block(found), shown=True)
    if call.response and folds:
        yield folded("Raw answer", block(call.response.text))
