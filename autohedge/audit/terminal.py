"""An audit on a terminal: lists and whole conversations, plain when piped, no word of a stranger obeyed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from autohedge.audit import text
from autohedge.audit.audit import Audit
from autohedge.audit.conversations import Conversation
from autohedge.audit.turns import Turn, accepted, refusal, turns
from autohedge.core.clock import format_utc
from autohedge.core.text import escape_untrusted
from autohedge.llm.backend import Message
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.records.round_trips import RoundTrip

STYLES = {"trade": "green", "no_trade": "yellow", "abstain": "red", "late": "red", "unanswered": "red"}
LABEL_CHARS = 9
Piece = Text | tuple[str, str]
INDENT = "      "


def print_list(audit: Audit, page: str) -> None:
    """The conversations in a line or two each, newest last; `page` is how to see one whole."""
    console = _console()
    console.print(Text(f"{audit.run} · {audit.mode}", "bold"))
    for line in text.summary_lines(audit):
        console.print(Text(line))
    console.print()
    for day, conversations in groupby(audit.conversations, key=_day):
        console.print(Text(day, "dim"))
        for conversation in conversations:
            for short in _short(conversation, console.width):
                console.print(short, no_wrap=True, crop=False, overflow="ignore")
    shown, there = len(audit.conversations), audit.stats.fitting
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
    return f"{format_utc(conversation.question.at_ns)[:10]} UTC"


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _short(conversation: Conversation, width: int) -> Iterator[Text]:
    style = STYLES.get(conversation.outcome, "")
    at = format_utc(conversation.question.at_ns)[11:19]
    head = Text(f"#{conversation.number:<5}{at}  {escape_untrusted(conversation.symbol):<10}")
    head.append(f"{text.verdict(conversation):<22}", style)
    head.append(f"{_where(conversation):<15}")
    head.append(text.pnl_text(conversation))
    head.rstrip()
    head.truncate(width, overflow="ellipsis")
    yield head
    for line in (text.summary_text(conversation), *text.notes(conversation)):
        short = Text(INDENT + line, "dim")
        short.truncate(width, overflow="ellipsis")
        if short.plain.strip():
            yield short


def _where(conversation: Conversation) -> str:
    """What the question was about, or where its gate stands."""
    kind = conversation.question.kind
    return "lesson" if kind == "learning" else "" if kind == "trade" else f"gate {conversation.state}"


def _whole(audit: Audit, conversation: Conversation) -> Iterator[Piece]:
    question = conversation.question
    title = f"Question {conversation.number} · {escape_untrusted(conversation.symbol)} · {question.kind}"
    yield Text(title, "bold")
    yield ("asked", f"{text.utc_text(question.at_ns)}: {conversation.why}")
    yield ("answer", text.answer_text(conversation))
    if no_call_reason := text.no_call_reason(conversation):
        yield ("silence", no_call_reason)
    if question.kind != "trade":
        yield from _outcome(conversation)
    yield from call_pieces(conversation, lambda call: text.prompt_line(audit, call))
    if question.kind == "trade":
        yield _rule("what became of it")
        yield from _outcome(conversation)
    yield Text("")


def call_pieces(conversation: Conversation, prompt_line: Callable[[Call], str]) -> Iterator[Piece]:
    """Every request and answer, agent after agent; `prompt_line` says where a request's prompt is from."""
    for turn in turns(conversation.calls):
        yield from _call(turn, prompt_line(turn.call))


def check_pieces(conversation: Conversation) -> Iterator[Piece]:
    """What was made of the answers, up to the proposal."""
    yield from text.checks(conversation)
    if refused := refusal(conversation):
        yield ("refused" if conversation.outcome == "no_trade" else "failed", refused)
    if proposed := text.proposal(conversation):
        yield ("proposal", proposed)


def resolution_pieces(conversation: Conversation) -> Iterator[Piece]:
    """What the engine made of it, and the order that it sent."""
    if ended := text.engine_text(conversation):
        yield ("engine", ended)
    for number, line in enumerate(text.placed(conversation)):
        yield ("" if number else "order", line)


def _outcome(conversation: Conversation) -> Iterator[Piece]:
    yield from check_pieces(conversation)
    yield from resolution_pieces(conversation)
    if conversation.question.kind != "trade":
        yield ("gate", text.gate(conversation))
    for trip in conversation.trips:
        yield from _trip(trip)
    if not conversation.trips and not conversation.sent:
        yield ("orders", "none were let through by this")


def _trip(trip: RoundTrip) -> Iterator[Piece]:
    yield ("trip", text.trip_line(trip))
    for order in trip.orders:
        yield ("", text.order_line(order))
        for fill in order.fills:
            yield ("", f"  {text.fill_line(fill)}")


def _call(turn: Turn, prompt_line: str) -> Iterator[Piece]:
    """One request and its answer; messages that stood in the request before are not told again."""
    call = turn.call
    yield Text(f"═══ {turn.title} ═══", "bold cyan")
    yield ("repair" if turn.how == "repair" else "prompt", prompt_line)
    for message in call.request.messages[turn.shown :] if call.request else ():
        yield from _message_pieces(message)
    yield _rule(f"answer {call.call + 1}")
    yield ("call", text.call_line(call))
    yield from _answer(call)


def _answer(call: Call) -> Iterator[Piece]:
    if call.response is None:
        yield ("nothing", f"no answer came: {escape_untrusted(call.failure)}")
        return
    if call.response.refusal:
        yield ("refusal", escape_untrusted(call.response.refusal))
    yield Text(escape_untrusted(call.response.text))
    if call.failure:
        yield ("wrong", escape_untrusted(call.failure))
    if found := text.parsed(call):
        yield _rule(
            f"read as ({escape_untrusted(call.parse)})" if accepted(call) else "an object in it, not used"
        )
        yield Text(escape_untrusted(found))


def _message_pieces(message: Message) -> Iterator[Piece]:
    yield _rule(message.role)
    yield Text(escape_untrusted(message.content))


def _rule(title: str) -> Text:
    return Text(f"── {title} ──", "bold cyan")


def _print(console: Console, piece: Piece) -> None:
    """A text is wrapped on a terminal only; what has a label is wrapped beside it everywhere."""
    if isinstance(piece, Text):
        console.print(piece, soft_wrap=not console.is_terminal)
        return
    label, value = piece
    lines = wrap(value, console.width - LABEL_CHARS - 1, break_on_hyphens=False) or [""]
    output = Text(f"{label:<{LABEL_CHARS}}", "bold")
    output.append(("\n" + " " * LABEL_CHARS).join(lines), "not bold")
    console.print(output)
