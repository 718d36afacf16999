"""An audit as one HTML file: no scripts, nothing loaded, all text escaped, light or dark as the system."""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from pathlib import Path

from autohedge.audit.audit import Audit
from autohedge.audit.figures import clock_text, day_text
from autohedge.audit.html import escaped, figure, items, table, true_minus
from autohedge.audit.page_decisions import decisions_section
from autohedge.audit.page_trades import chart_section, results_section
from autohedge.audit.summary import Fact, detail_facts, headline_facts, period_text, used_prompts

WHOLE = 500
ROWS = 5_000
STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
# The policy forbids a browser to load or run anything; the hash allows this style sheet and no other.
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
_VERIFIED = (
    "While this page was written, the journal's hash chain, the hashes of the transcript and of the prompt "
    "files, and the links between them were verified."
)


def write_page(audit: Audit, path: Path) -> None:
    """Writes the page, and replaces a file that is there."""
    with path.open("w", encoding="utf-8") as file:
        for part in page(audit):
            file.write(part + "\n")


def page(audit: Audit) -> Iterator[str]:
    """Yields the page in parts."""
    style = b64encode(sha256(STYLE.encode()).digest()).decode()
    title = escaped(f"Audit of {audit.run}")
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY.format(style))}">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
    yield from _summary(audit)
    yield from chart_section(audit)
    yield from results_section(audit)
    yield from decisions_section(audit)
    yield from _record(audit)
    yield "</main></body></html>"


def _summary(audit: Audit) -> Iterator[str]:
    parts = (f"{audit.mode} mode", ", ".join(audit.symbols), period_text(audit))
    yield f"<h1><span>Audit of</span> {escaped(audit.run)}</h1>"
    spans = "".join(f"<span>{escaped(part)}</span>" for part in parts if part)
    yield f"<p class='dim about'>{spans}</p><dl class='tiles'>"
    for fact in headline_facts(audit):
        yield _tile(fact)
    yield "</dl><dl class='facts'>"
    for fact in detail_facts(audit):
        yield items(fact.label, [fact.text])
    yield "</dl>"


def _tile(fact: Fact) -> str:
    detail = f"<dd class='dim'>{escaped(true_minus(fact.detail))}</dd>" if fact.detail else ""
    return f"<div><dt>{escaped(fact.label)}</dt><dd class='value'>{figure(fact.value)}</dd>{detail}</div>"


def _record(audit: Audit) -> Iterator[str]:
    yield f"<h2>Record</h2><p class='dim'>{_VERIFIED}</p>"
    yield f"<dl class='facts'>{items('Journal head', [audit.head])}</dl>"
    prompts = used_prompts(audit)
    if prompts:
        rows = (
            (
                escaped(prompt.name),
                "unknown" if prompt.version is None else str(prompt.version),
                f"<code>{escaped(prompt.hash)}</code>",
                _since(prompt.at_ns, prompt.since),
                f"{audit.requests[prompt.hash]:,}",
            )
            for prompt in prompts
        )
        headings = ("Prompt", "Version", "Hash", "In force", "Requests")
        yield table(headings, rows, numeric=frozenset({1, 4}), label="Prompts")


def _since(at_ns: int, question: int) -> str:
    if not at_ns:
        return "from the start"
    return f"from question {question} on, edited {day_text(at_ns)[:10]} {clock_text(at_ns)} UTC"
