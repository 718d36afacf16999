"""Pieces of HTML in which every text is escaped."""

from collections.abc import Iterable
from html import escape

from autohedge.core.text import escape_untrusted

# A message of this size is a few hundred lines; a page with hundreds of conversations must still open.
LONGEST_CHARS = 1 << 14


def escaped(text: str) -> str:
    """Returns any text as HTML: markup escaped, control and invisible characters written out."""
    return escape(escape_untrusted(text))


def figure(text: str) -> str:
    """Returns an amount as HTML, with a true minus sign, coloured by its sign if it has one."""
    sign = {"+": "gain", "-": "loss"}.get(text[:1])
    shown = escaped(true_minus(text))
    return f'<span class="{sign}">{shown}</span>' if sign else shown


def true_minus(text: str) -> str:
    """Returns a figure with a minus sign that is as wide as the plus sign and the digits."""
    return text.replace("-", "−")


def items(label: str, lines: Iterable[str]) -> str:
    """Returns a term with its values, one below the other; empty without values."""
    values = "".join(f"<dd>{escaped(line)}</dd>" for line in lines if line)
    return f"<dt>{escaped(label)}</dt>{values}" if values else ""


def block(text: str) -> str:
    """Returns a text as it was written, cut at LONGEST_CHARS."""
    more = len(text) - LONGEST_CHARS
    cut = f"<p class='dim'>{more:,} more characters are in the transcript.</p>" if more > 0 else ""
    return f"<pre>{escaped(text[:LONGEST_CHARS])}</pre>{cut}"


def folded(title: str, content: str, *, shown: bool = False) -> str:
    """Returns content under a title that opens it."""
    return f"<details{' open' if shown else ''}><summary>{escaped(title)}</summary>{content}</details>"


def table(
    headings: Iterable[str], rows: Iterable[Iterable[str]], *, numeric: frozenset[int], label: str
) -> str:
    """Returns a table of cells that are HTML already; columns in `numeric` are aligned to the right.

    On a narrow window it scrolls by itself, or with the keyboard once it has the focus.
    """
    classes = [" class='number'" if column in numeric else "" for column in range(64)]
    head = "".join(
        f"<th scope='col'{kind}>{escaped(each)}</th>" for kind, each in zip(classes, headings, strict=False)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(classes, row, strict=False))}</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escaped(label)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
