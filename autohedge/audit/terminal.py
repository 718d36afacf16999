"""An audit on a terminal: lists and whole conversations, plain when piped; untrusted text is escaped."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from autohedge.audit import text
from autohedge.audit.agent_outcomes import agent_outcomes, outcomes_text
from autohedge.audit.audit import Audit
from autohedge.audit.conversations import Conversation
from autohedge.audit.figures import clock_text, day_text, utc_text
from autohedge.audit.summary import detail_facts, headline_facts, period_text, prompt_facts
from autohedge.audit.turns import Turn, refusal, turns
from autohedge.core.terminal import PrintableConsole
from autohedge.core.text import escape_untrusted
from autohedge.llm.backend import Message
from autohedge.llm.transcript import TranscriptEntry as Call

STYLES = {"trade": "green", "no_trade": "yellow", "abstain": "red", "late": "red", "unanswered": "red"}
LABEL_CHARS = 13
Piece = Text | tuple[str, str]
INDENT = "      "
AGENTS_CHARS, DECISION_CHARS, PNL_CHARS = 9, 22, 9


def print_list(audit: Audit, page: str) -> None:
    """Prints the totals and the conversations in a few lines each, newest last.

    `page` is the command that shows more.
    """
    console = _console()
    for piece in _summary(audit):
        _print(console, piece)
    console.print()
    for number, (day, conversations) in enumerate(groupby(audit.conversations, key=_day)):
        console.print(Text(day, "dim"))
        if not number:
            _print_line(console, Text(_columns(audit), "dim"))
        for conversation in conversations:
            head, *details = _short(audit, conversation)
            console.print(head)  # a narrow terminal wraps it: its codes and amounts must stay whole
            for line in details:
                _print_line(console, line)
    for line in _footer(audit, page):
        console.print(line)


def _summary(audit: Audit) -> Iterator[Piece]:
    yield Text(f"{audit.run} · {audit.mode}", "bold")
    yield ("Period", period_text(audit))
    if audit.since:
        yield ("Part read", f"from question {audit.since:,} on; totals: omit --last")
        return
    for fact in (*headline_facts(audit), *detail_facts(audit), *prompt_facts(audit)):
        yield (fact.label, fact.text)


def _print_line(console: Console, line: Text) -> None:
    line.truncate(console.width, overflow="ellipsis")
    console.print(line, no_wrap=True, crop=False, overflow="ignore")


def _footer(audit: Audit, page: str) -> Iterator[Text]:
    shown, matching = len(audit.conversations), audit.stats.fitting
    if shown < matching:
        of = "" if audit.since else f" of {matching:,}"
        yield Text(f"\nThe last {shown:,}{of}; --last N shows more.", "dim")
    example = audit.conversations[-1].number if audit.conversations else 1
    yield Text(
        f"\nOne question in full: {page} --number {example}\nAll of it as a page: {page} --html audit.html"
    )


def print_whole(audit: Audit) -> None:
    """Prints conversations in full."""
    for conversation in audit.conversations:
        print_pieces(_whole(audit, conversation))


def print_pieces(pieces: Iterable[Piece]) -> None:
    """Prints texts and labelled values."""
    console = _console()
    for piece in pieces:
        _print(console, piece)


def _day(conversation: Conversation) -> str:
    return day_text(conversation.question.at_ns)


def _console() -> Console:
    return PrintableConsole(markup=False)


def _columns(audit: Audit) -> str:
    """Returns the heading of the list, in columns as wide as those of `_short`."""
    agents = f"{'agents':<{AGENTS_CHARS}}" if audit.mode == "llm" else ""
    where = "engine" if audit.mode == "llm" else "gate"
    lead = f"{'no.':<6}{'time':<10}{'symbol':<10}{agents}{'decision':<{DECISION_CHARS}}"
    return f"{lead}{where:<{_where_chars(audit)}}{'net P&L':>{PNL_CHARS}}"


def _where_chars(audit: Audit) -> int:
    """Returns the width of the engine's or the gate's column: their longest entry and a space."""
    return len("exit_signal ") if audit.mode == "llm" else len("cooldown ")


def _short(audit: Audit, conversation: Conversation) -> Iterator[Text]:
    at = clock_text(conversation.question.at_ns)
    head = Text(f"#{conversation.number:<5}{at}  {escape_untrusted(conversation.symbol):<10}")
    if audit.mode == "llm":
        head.append(f"{outcomes_text(agent_outcomes(conversation)):<{AGENTS_CHARS}}")
    verdict = text.verdict(conversation)
    head.append(verdict, STYLES.get(conversation.outcome, ""))
    # A long code takes the room of the next column, so that the amounts stay aligned.
    where = " " * max(DECISION_CHARS - len(verdict), 1) + text.state_text(conversation)
    head.append(where.ljust(DECISION_CHARS + _where_chars(audit) - len(verdict)))
    amount, remark = text.pnl_parts(conversation)
    head.append(f"{amount or remark:>{PNL_CHARS}}{f' {remark}' if amount and remark else ''}")
    head.rstrip()
    yield head
    for line in text.gist(conversation):
        yield Text(INDENT + line, "dim")


def _whole(audit: Audit, conversation: Conversation) -> Iterator[Piece]:
    question = conversation.question
    title = f"Question {conversation.number} · {escape_untrusted(conversation.symbol)} · {question.kind}"
    yield Text(title, "bold")
    yield ("asked", f"{utc_text(question.at_ns)}: {conversation.why}")
    yield ("decision", text.answer_text(conversation))
    if no_call_reason := text.no_call_reason(conversation):
        yield ("no call", no_call_reason)
    if thesis := text.cached_thesis(conversation):
        yield ("thesis", thesis)
    if question.kind != "trade":
        yield from _outcome(conversation)
    yield from call_pieces(conversation, lambda call: text.prompt_line(audit, call))
    if question.kind == "trade":
        yield _rule("outcome")
        yield from _outcome(conversation)
    yield Text("")


def call_pieces(conversation: Conversation, prompt_line: Callable[[Call], str]) -> Iterator[Piece]:
    """Yields every request and answer, agent by agent; `prompt_line` describes the prompt of a request."""
    for turn in turns(conversation.calls):
        yield from _call(turn, prompt_line(turn.call))


def check_pieces(conversation: Conversation) -> Iterator[Piece]:
    """Yields the checks of the answers, the refusal and the proposal."""
    yield from text.checks(conversation)
    if refused := refusal(conversation):
        yield ("refused" if conversation.outcome == "no_trade" else "failed", refused)
    if proposed := text.proposal(conversation):
        yield ("proposal", proposed)


def resolution_pieces(conversation: Conversation) -> Iterator[Piece]:
    """Yields how the engine resolved the deliberation, and the order that it sent."""
    if ended := text.engine_text(conversation):
        yield ("engine", ended)
    if order := conversation.sent:
        yield from _labelled("order", text.placed(order))


def _outcome(conversation: Conversation) -> Iterator[Piece]:
    yield from check_pieces(conversation)
    yield from _resolution(conversation)
    if conversation.question.kind != "trade":
        yield ("gate", text.gate(conversation))
    for trip in conversation.trips:
        yield from _labelled("round trip", text.trip_lines(trip))
    if not conversation.trips and not conversation.sent:
        yield ("orders", "none")


def _resolution(conversation: Conversation) -> Iterator[Piece]:
    if ended := text.engine_detail(conversation):
        yield ("engine", ended)
    if (order := conversation.sent) and not text.in_trips(conversation):
        yield from _labelled("order", text.order_lines(order))


def _labelled(label: str, lines: Iterable[str]) -> Iterator[Piece]:
    for number, line in enumerate(lines):
        yield ("" if number else label, line)


def _call(turn: Turn, prompt_line: str) -> Iterator[Piece]:
    """Yields one request and its answer; messages that an earlier request had are not repeated."""
    call = turn.call
    yield Text(f"═══ {turn.title} ═══", "bold cyan")
    yield ("repair" if turn.how == "repair" else "prompt", prompt_line)
    for message in call.request.messages[turn.shown :] if call.request else ():
        yield from _message_pieces(message)
    yield _rule(f"answer {call.call + 1}")
    yield ("request", text.call_line(call))
    yield from _answer(call)


def _answer(call: Call) -> Iterator[Piece]:
    if call.response is None:
        yield ("failure", f"no response: {escape_untrusted(call.failure)}")
        return
    if call.response.refusal:
        yield ("refusal", escape_untrusted(call.response.refusal))
    # The object alone suffices where the raw text is nothing else.
    folded = text.raw_equals_parsed(call)
    if not folded:
        yield Text(escape_untrusted(call.response.text))
    if call.failure:
        yield ("failure", escape_untrusted(call.failure))
    if found := text.parsed(call):
        if not folded:
            yield _rule(text.parsed_title(call))
        yield Text(escape_untrusted(found))


def _message_pieces(message: Message) -> Iterator[Piece]:
    yield _rule(message.role)
    yield Text(escape_untrusted(message.content))


def _rule(title: str) -> Text:
    return Text(f"── {title} ──", "bold cyan")


def _print(console: Console, piece: Piece) -> None:
    """Prints a text, wrapped on a terminal only, or a labelled value, wrapped beside its label everywhere."""
    if isinstance(piece, Text):
        console.print(piece, soft_wrap=not console.is_terminal)
        return
    label, value = piece
    lines = wrap(value, console.width - LABEL_CHARS - 1, break_on_hyphens=False) or [""]
    output = Text(f"{label:<{LABEL_CHARS}}", "bold")
    output.append(("\n" + " " * LABEL_CHARS).join(lines), "not bold")
    console.print(output)
