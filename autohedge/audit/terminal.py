"""An audit on a terminal: lists and whole conversations, plain when piped, no word of a stranger obeyed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from autohedge.audit import wording
from autohedge.audit.agents import Exchange, exchanges, refusal, used
from autohedge.audit.questions import Conversation
from autohedge.audit.reading import Audit
from autohedge.audit.trips import Trip
from autohedge.audit.wording import harmless
from autohedge.core.clock import readable
from autohedge.llm.backend import Message
from autohedge.llm.transcript import Line as Call

STYLES = {"trade": "green", "no_trade": "yellow", "abstain": "red", "late": "red", "unanswered": "red"}
LABEL_CHARS = 9
Piece = Text | tuple[str, str]
INDENT = "      "


def print_list(audit: Audit, page: str) -> None:
    """The conversations in a line or two each, newest last; `page` is how to see one whole."""
    console = _console()
    console.print(Text(f"{audit.run} · {audit.mode}", "bold"))
    for line in wording.summary_lines(audit):
        console.print(Text(line))
    console.print()
    for day, conversations in groupby(audit.conversations, key=_day):
        console.print(Text(day, "dim"))
        for conversation in conversations:
            for text in _short(conversation, console.width):
                console.print(text, no_wrap=True, crop=False, overflow="ignore")
    shown, there = len(audit.conversations), audit.tally.fitting
    if shown < there:
        console.print(Text(f"\nThe last {shown} of {there}; --last shows more.", "dim"))
    example = audit.conversations[-1].number if audit.conversations else 1
    console.print(Text(f"\nOne whole: {page} --number {example}\nAll as a page: {page} --html audit.html"))


def print_whole(audit: Audit) -> None:
    """Conversations with every word."""
    for conversation in audit.conversations:
        print_pieces(_whole(audit, conversation))


def print_pieces(pieces: Iterable[Piece]) -> None:
    """Texts, and what has a label."""
    console = _console()
    for piece in pieces:
        _print(console, piece)


def _day(conversation: Conversation) -> str:
    return f"{readable(conversation.question.at_ns)[:10]} UTC"


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _short(conversation: Conversation, width: int) -> Iterator[Text]:
    style = STYLES.get(conversation.outcome, "")
    at = readable(conversation.question.at_ns)[11:19]
    head = Text(f"#{conversation.number:<5}{at}  {harmless(conversation.symbol):<10}")
    head.append(f"{wording.verdict(conversation):<22}", style)
    head.append(f"{_where(conversation):<15}")
    head.append(wording.earned(conversation))
    head.rstrip()
    head.truncate(width, overflow="ellipsis")
    yield head
    for line in (wording.gist(conversation), *wording.remarks(conversation)):
        text = Text(INDENT + line, "dim")
        text.truncate(width, overflow="ellipsis")
        if text.plain.strip():
            yield text


def _where(conversation: Conversation) -> str:
    """What the question was about, or where its gate stands."""
    kind = conversation.question.kind
    return "lesson" if kind == "learning" else "" if kind == "trade" else f"gate {conversation.state}"


def _whole(audit: Audit, conversation: Conversation) -> Iterator[Piece]:
    question = conversation.question
    title = f"Question {conversation.number} · {harmless(conversation.symbol)} · {question.kind}"
    yield Text(title, "bold")
    yield ("asked", f"{wording.clock(question.at_ns)}: {conversation.why}")
    yield ("answer", wording.answered(conversation))
    if silent := wording.silence(conversation):
        yield ("silence", silent)
    if question.kind != "trade":
        yield from _outcome(conversation)
    yield from told_calls(conversation, lambda call: wording.prompt_line(audit, call))
    if question.kind == "trade":
        yield _rule("what became of it")
        yield from _outcome(conversation)
    yield Text("")


def told_calls(conversation: Conversation, prompt_line: Callable[[Call], str]) -> Iterator[Piece]:
    """Every request and answer, agent after agent; `prompt_line` says where a request's prompt is from."""
    for exchange in exchanges(conversation.calls):
        yield from _call(exchange, prompt_line(exchange.call))


def told_checks(conversation: Conversation) -> Iterator[Piece]:
    """What was made of the answers, up to the proposal."""
    yield from wording.checks(conversation)
    if refused := refusal(conversation):
        yield ("refused" if conversation.outcome == "no_trade" else "failed", refused)
    if proposed := wording.proposal(conversation):
        yield ("proposal", proposed)


def told_disposal(conversation: Conversation) -> Iterator[Piece]:
    """What the engine made of it, and the order that it sent."""
    if ended := wording.became(conversation):
        yield ("engine", ended)
    for number, line in enumerate(wording.placed(conversation)):
        yield ("" if number else "order", line)


def _outcome(conversation: Conversation) -> Iterator[Piece]:
    yield from told_checks(conversation)
    yield from told_disposal(conversation)
    if conversation.question.kind != "trade":
        yield ("gate", wording.gate(conversation))
    for trip in conversation.trips:
        yield from _trip(trip)
    if not conversation.trips and not conversation.sent:
        yield ("orders", "none were let through by this")


def _trip(trip: Trip) -> Iterator[Piece]:
    yield ("trip", wording.trip_line(trip))
    for order in trip.orders:
        yield ("", wording.order_line(order))
        for fill in order.fills:
            yield ("", f"  {wording.fill_line(fill)}")


def _call(exchange: Exchange, prompt_line: str) -> Iterator[Piece]:
    """One request and its answer; messages that stood in the request before are not told again."""
    call = exchange.call
    yield Text(f"═══ {exchange.title} ═══", "bold cyan")
    yield ("repair" if exchange.how == "repair" else "prompt", prompt_line)
    for message in call.request.messages[exchange.shown :] if call.request else ():
        yield from _said(message)
    yield _rule(f"answer {call.call + 1}")
    yield ("call", wording.call_line(call))
    yield from _answer(call)


def _answer(call: Call) -> Iterator[Piece]:
    if call.response is None:
        yield ("nothing", f"no answer came: {harmless(call.failure)}")
        return
    if call.response.refusal:
        yield ("refusal", harmless(call.response.refusal))
    yield Text(harmless(call.response.text))
    if call.failure:
        yield ("wrong", harmless(call.failure))
    if found := wording.parsed(call):
        yield _rule(f"read as ({harmless(call.parse)})" if used(call) else "an object in it, not used")
        yield Text(harmless(found))


def _said(message: Message) -> Iterator[Piece]:
    yield _rule(message.role)
    yield Text(harmless(message.content))


def _rule(title: str) -> Text:
    return Text(f"── {title} ──", "bold cyan")


def _print(console: Console, piece: Piece) -> None:
    """A text is wrapped on a terminal only; what has a label is wrapped beside it everywhere."""
    if isinstance(piece, Text):
        console.print(piece, soft_wrap=not console.is_terminal)
        return
    label, text = piece
    lines = wrap(text, console.width - LABEL_CHARS - 1, break_on_hyphens=False) or [""]
    said = Text(f"{label:<{LABEL_CHARS}}", "bold")
    said.append(("\n" + " " * LABEL_CHARS).join(lines), "not bold")
    console.print(said)
