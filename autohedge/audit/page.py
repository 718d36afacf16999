"""An audit as one HTML file that needs nothing else, runs nothing, and takes every word for text."""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from pathlib import Path

from autohedge.audit import text
from autohedge.audit.audit import Audit
from autohedge.audit.chart import strip
from autohedge.audit.conversations import Conversation
from autohedge.audit.timeline import IDLE
from autohedge.audit.turns import Turn, accepted, refusal, turns
from autohedge.core.text import escape_untrusted
from autohedge.records.round_trips import RoundTrip

WHOLE = 500
ROWS = 5_000
LONGEST_CHARS = 1 << 14

STYLE = """\
:root{color-scheme:light dark;--text:#1d232a;--back:#fff;--soft:#f2f4f6;--line:#d5dade;--dim:#5d6873;
--open:#2e9e5b;--closed:#aab3bb;--cooldown:#e0a030;--expired:#8a6fc0;--bad:#b3362c}
@media(prefers-color-scheme:dark){:root{--text:#e3e7ea;--back:#14181c;--soft:#1f252b;--line:#39424a;--dim:#98a3ad;
--closed:#4a545d;--bad:#ee7b70}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:76rem;margin:0 auto;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem;margin:1rem 0 .3rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.gist{color:var(--dim);overflow-wrap:anywhere}
pre{background:var(--soft);padding:.6rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.82rem}
details{border:1px solid var(--line);border-radius:4px;margin:.5rem 0;padding:.3rem .7rem}
details:target{border-color:var(--open)}summary{cursor:pointer}
dl{display:grid;grid-template-columns:6rem 1fr;gap:.1rem .8rem}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
svg{display:block;width:100%;height:18px}.open{fill:var(--open)}.closed{fill:var(--closed)}
.cooldown{fill:var(--cooldown)}.expired{fill:var(--expired)}
.holding{fill:var(--open)}.deliberating{fill:var(--expired)}.idle{fill:var(--closed)}
.trade{color:var(--open)}.abstain,.late,.unanswered{color:var(--bad)}.dim{color:var(--dim)}
"""
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"


def write_page(audit: Audit, path: Path) -> None:
    """Write the page, replacing what is there."""
    with path.open("w", encoding="utf-8") as file:
        for part in page(audit):
            file.write(part + "\n")


def page(audit: Audit) -> Iterator[str]:
    """The page in parts."""
    style = b64encode(sha256(STYLE.encode()).digest()).decode()
    title = _text(f"Audit of {audit.run}")
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY.format(style))}">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
    yield from _summary(audit)
    yield from _activity(audit) if audit.mode == "llm" else _gates(audit)
    yield from _earned(audit)
    yield from _table(audit)
    yield from _conversations(audit)
    yield "</body></html>"


def _text(text: str) -> str:
    return escape(escape_untrusted(text))


def _summary(audit: Audit) -> Iterator[str]:
    symbols = ", ".join(audit.symbols)
    period = f"{text.utc_text(audit.first_ns)} to {text.utc_text(audit.last_ns)}" if audit.last_ns else ""
    yield f"<p>{_text(f'{audit.mode} · {symbols} · {period}')}</p><ul>"
    for line in text.summary_lines(audit):
        yield f"<li>{_text(line)}</li>"
    for prompt in (each for each in audit.prompts if not each.at_ns):
        yield f"<li>prompt {_text(f'{prompt.name}, version {prompt.version}, hash {prompt.hash}')}</li>"
    yield f"<li>the journal's chain of hashes is unbroken, head <code>{_text(audit.head)}</code></li></ul>"


def _gates(audit: Audit) -> Iterator[str]:
    yield "<h2>Gates</h2>"
    first = "open" if audit.starts_open else "closed"
    for symbol, timeline in sorted(audit.gates.items()):
        opened = sum(state == "open" for _, state in timeline)
        yield f"<h3>{_text(symbol)} <span class='dim'>open or prolonged {opened} times</span></h3>"
        yield strip(timeline, first, audit.first_ns, audit.last_ns)
    yield "<p class='dim'>green open, grey closed, yellow cooldown, violet expired</p>"


def _activity(audit: Audit) -> Iterator[str]:
    yield "<h2>What went on</h2>"
    for symbol, timeline in sorted(audit.activity.items()):
        yield f"<h3>{_text(symbol)}</h3>"
        yield strip(timeline, IDLE, audit.first_ns, audit.last_ns)
    yield "<p class='dim'>green holding, violet deliberating, yellow cooldown, grey nothing</p>"


def _earned(audit: Audit) -> Iterator[str]:
    yield "<h2>Round trips by verdict</h2>"
    if not audit.groups:
        yield "<p>No order was sent.</p>"
        return
    yield "<table><tr><th>let in by</th>"
    for heading in ("ended", "gained", "realized", "fees", "net", "still open", "unfilled"):
        yield f"<th class='number'>{heading}</th>"
    for name, group in sorted(audit.groups.items()):
        amounts = (
            text.money(group.realized),
            text.money(group.fees, signed=False),
            text.money(group.net),
        )
        figures = (group.closed, group.gained, *amounts, group.still_open, group.unfilled)
        cells = "".join(f"<td class='number'>{figure}</td>" for figure in figures)
        yield f"</tr><tr><td>{_text(name)}</td>{cells}"
    yield "</tr></table><p class='dim'>Few trips prove nothing about a verdict's worth.</p>"


def _table(audit: Audit) -> Iterator[str]:
    yield "<h2 id='decisions'>Decisions</h2>"
    shown = len(audit.conversations)
    if shown < audit.stats.fitting:
        yield f"<p>The last {shown:,} of {audit.stats.fitting:,}.</p>"
    where = "engine" if audit.mode == "llm" else "gate"
    yield f"<table><tr><th>no.</th><th>asked, UTC</th><th>symbol</th><th>decision</th><th>{where}</th>"
    yield "<th>round trips</th><th>said</th></tr>"
    unlinked = shown - audit.whole
    for index, conversation in enumerate(audit.conversations):
        yield _row(conversation, linked=index >= unlinked)
    yield "</table>"


def _row(conversation: Conversation, *, linked: bool) -> str:
    number = conversation.number
    name = f'<a href="#q{number}">{number}</a>' if linked else str(number)
    at = text.utc_text(conversation.question.at_ns).removesuffix(" UTC")
    decision = f"<td class='{conversation.outcome}'>{_text(text.verdict(conversation))}</td>"
    rest = (conversation.disposed or conversation.state, text.pnl_text(conversation))
    cells = "".join(f"<td>{_text(cell)}</td>" for cell in rest)
    gist = "<br>".join(map(_text, (text.summary_text(conversation), *text.notes(conversation))))
    lead = f"<td>{name}</td><td>{at}</td><td>{_text(conversation.symbol)}</td>"
    return f"<tr>{lead}{decision}{cells}<td class='gist'>{gist}</td></tr>"


def _conversations(audit: Audit) -> Iterator[str]:
    yield "<h2>Conversations</h2>"
    if audit.whole < len(audit.conversations):
        yield f"<p>Whole are the last {audit.whole} only; see others with <code>--number</code>.</p>"
    for conversation in audit.conversations[len(audit.conversations) - audit.whole :]:
        yield from _conversation(audit, conversation)


def _conversation(audit: Audit, conversation: Conversation) -> Iterator[str]:
    question = conversation.question
    title = f"{conversation.number} · {conversation.symbol} · {question.kind} · {text.verdict(conversation)}"
    yield f'<details id="q{conversation.number}"><summary>{_text(title)}</summary><dl>'
    yield _item("asked", f"{text.utc_text(question.at_ns)}: {conversation.why}")
    yield _item("answer", text.answer_text(conversation))
    if no_call_reason := text.no_call_reason(conversation):
        yield _item("silence", no_call_reason)
    if question.kind != "trade":
        yield from _outcome(conversation)
    yield "</dl>"
    for turn in turns(conversation.calls):
        yield from _call(audit, turn)
    if question.kind == "trade":
        yield "<h3>What became of it</h3><dl>"
        yield from _outcome(conversation)
        yield "</dl>"
    yield '<p><a href="#decisions">all decisions</a></p></details>'


def _outcome(conversation: Conversation) -> Iterator[str]:
    for label, value in text.checks(conversation):
        yield _item(label, value)
    items = (
        ("refused", refusal(conversation)),
        ("proposal", text.proposal(conversation)),
        ("engine", text.engine_text(conversation)),
        *(("order", line) for line in text.placed(conversation)),
        ("gate", text.gate(conversation) if conversation.question.kind != "trade" else ""),
    )
    for label, value in items:
        if value:
            yield _item(label, value)
    for trip in conversation.trips:
        yield from _trip(trip)


def _trip(trip: RoundTrip) -> Iterator[str]:
    yield _item("round trip", text.trip_line(trip))
    for order in trip.orders:
        yield _item("order", text.order_line(order))
        for fill in order.fills:
            yield _item("", text.fill_line(fill))


def _call(audit: Audit, turn: Turn) -> Iterator[str]:
    call = turn.call
    if call.request is None:
        return
    yield f"<h3>{_text(turn.title)}</h3><dl>"
    yield _item("prompt", text.prompt_line(audit, call)) + "</dl>"
    for message in call.request.messages[turn.shown :]:
        yield f"<details><summary>{_text(message.role)}</summary>{_block(message.content)}</details>"
    yield "<h4>Answer</h4><dl>" + _item("call", text.call_line(call))
    if call.failure:
        yield _item("wrong", call.failure)
    if call.response and call.response.refusal:
        yield _item("refusal", call.response.refusal)
    yield "</dl>"
    if call.response:
        yield _block(call.response.text)
    if found := text.parsed(call):
        how = f"read as ({call.parse})" if accepted(call) else "an object in it, not used"
        yield f"<details open><summary>{_text(how)}</summary>{_block(found)}</details>"


def _item(label: str, text: str) -> str:
    return f"<dt>{label}</dt><dd>{_text(text)}</dd>"


def _block(text: str) -> str:
    more = len(text) - LONGEST_CHARS
    cut = f"<p class='dim'>{more:,} more characters stand in the transcript.</p>" if more > 0 else ""
    return f"<pre>{_text(text[:LONGEST_CHARS])}</pre>{cut}"
