"""An audit on a terminal: lists and whole conversations, plain when piped, no word of a stranger obeyed."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autohedge.audit import wording
from autohedge.audit.questions import Conversation
from autohedge.audit.reading import Audit
from autohedge.audit.trips import Trip
from autohedge.audit.wording import harmless
from autohedge.llm.backend import Message
from autohedge.llm.transcript import Line as Call

STYLES = {"trade": "green", "no_trade": "yellow", "abstain": "red", "late": "red", "unanswered": "red"}
LABEL_CHARS = 8
Piece = Text | Table
INDENT = "      "


def print_list(audit: Audit, page: str) -> None:
    """The conversations in a line or two each, newest last; `page` is how to see one whole."""
    console = _console()
    console.print(Text(f"{audit.run} · {audit.mode}", "bold"))
    for line in wording.summary_lines(audit):
        console.print(Text(line))
    console.print()
    for conversation in audit.conversations:
        for text in _short(conversation, console.width):
            console.print(text, no_wrap=True, crop=False, overflow="ignore")
    shown, there = len(audit.conversations), audit.tally.fitting
    if shown < there:
        console.print(Text(f"\nThe last {shown} of {there}; --last shows more.", "dim"))
    example = audit.conversations[-1].number if audit.conversations else 1
    console.print(Text(f"\nOne whole: {page} --number {example}\nAll as a page: {page} --html audit.html"))


def print_whole(audit: Audit) -> None:
    """Conversations with every word."""
    console = _console()
    for conversation in audit.conversations:
        for text in _whole(audit, conversation):
            console.print(text)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _short(conversation: Conversation, width: int) -> Iterator[Text]:
    style = STYLES.get(conversation.outcome, "")
    at = wording.clock(conversation.question.at_ns)[11:19]
    head = Text(f"#{conversation.number:<5}{at}  {harmless(conversation.symbol):<10}")
    head.append(f"{wording.verdict(conversation):<22}", style)
    learning = conversation.question.kind == "learning"
    head.append(f"{'lesson' if learning else f'gate {conversation.state}':<15}")
    head.append(wording.earned(conversation))
    head.rstrip()
    head.truncate(width, overflow="ellipsis")
    yield head
    gist = Text(INDENT + wording.gist(conversation), "dim")
    gist.truncate(width, overflow="ellipsis")
    if gist.plain.strip():
        yield gist


def _whole(audit: Audit, conversation: Conversation) -> Iterator[Piece]:
    question = conversation.question
    title = f"Question {conversation.number} · {harmless(conversation.symbol)} · {question.kind}"
    yield Text(title, "bold")
    yield _labelled("asked", f"{wording.clock(question.at_ns)}: {conversation.why}")
    yield _labelled("answer", wording.answered(conversation))
    yield _labelled("gate", wording.gate(conversation))
    for trip in conversation.trips:
        yield from _trip(trip)
    if not conversation.trips:
        yield _labelled("orders", "none were let through by this")
    if silent := wording.silence(conversation):
        yield _labelled("silence", silent)
    shown = 0
    for call in conversation.calls:
        if call.request:
            yield from _call(audit, call, shown)
            shown = len(call.request.messages)
    yield Text("")


def _trip(trip: Trip) -> Iterator[Piece]:
    yield _labelled("trip", wording.trip_line(trip))
    for order in trip.orders:
        yield _labelled("", wording.order_line(order))
        for fill in order.fills:
            yield _labelled("", f"  {wording.fill_line(fill)}")


def _call(audit: Audit, call: Call, shown: int) -> Iterator[Piece]:
    """One request and its answer; messages that stood in the request before are not told again."""
    if call.request is None:
        return
    yield _labelled("prompt" if not shown else "repair", wording.prompt_line(audit, call))
    for message in call.request.messages[shown:]:
        yield from _said(message)
    yield _rule(f"answer {call.call + 1}")
    yield _labelled("call", wording.call_line(audit, call))
    yield from _answer(call)


def _answer(call: Call) -> Iterator[Piece]:
    if call.response is None:
        yield _labelled("nothing", f"no answer came: {harmless(call.failure)}")
        return
    if call.response.refusal:
        yield _labelled("refusal", harmless(call.response.refusal))
    yield Text(harmless(call.response.text))
    if call.failure:
        yield _labelled("wrong", harmless(call.failure))
    if found := wording.parsed(call):
        yield _rule(
            f"read as ({harmless(call.parse)})" if wording.used(call) else "an object in it, not used"
        )
        yield Text(harmless(found))


def _said(message: Message) -> Iterator[Piece]:
    yield _rule(message.role)
    yield Text(harmless(message.content))


def _rule(title: str) -> Text:
    return Text(f"── {title} ──", "bold cyan")


def _labelled(label: str, text: str) -> Table:
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=LABEL_CHARS, style="bold")
    row.add_column(overflow="fold")
    row.add_row(label, Text(text))
    return row
