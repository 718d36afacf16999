"""Numbers that a model cites, held against the numbers that it was shown: what matches none of them was made up.

A claim is a number in a sentence: `64,100.5`, `-3.2 bps`, `0.4%`, `$64.1k`, `1e-5`, in any script's decimal
digits. No claims are clock times and dates in figures (14:05, 2024-08-08), ordinals (3rd), spans of time (5m,
30 seconds), and digits that follow a Latin letter, also after a hyphen, as in RSI14 or RSI-14: those are names.

A claim matches a fact if it is the fact rounded or cut to the claim's last digit, or within 0.1 % of it. One
without a sign matches a fact of either sign, one with a sign only a fact of that sign; a zero has no sign. One
in bps cites figures in bps; one in % a hundredth of those, the RSI, or the imbalance times 100; one without a
unit cites any number as it is shown. That a number occurs does not prove the sentence: it can be about
something else, the more easily the fewer digits it has.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from autohedge.core.snapshots import Snapshot
from autohedge.tools.facts import Facts, facts_of

Unit = Literal["", "bps", "%"]
LONGEST = 40
NEAR = 1e-3
_ROUNDING = 1e-9

# Every repeat is bounded or cannot be given back, so that a search takes linear time.
_TOKEN = re.compile(
    r"""
    (?P<name> [A-Za-z_][\dA-Za-z_]*+ (?:-[\dA-Za-z_]++)*+ (?:(?<=\d)\.\d++)*+ )
    | (?P<moment>
        \d{4}-\d\d-\d\d (?!\d) (?:[Tt\ ]\d\d:\d\d(?::\d\d(?:\.\d++)?)?(?:[+-]\d\d:\d\d)?)?
        | \d{1,2}:\d\d (?::\d\d(?:\.\d++)?)? (?!\d)
        | \d{1,2}(?P<dot>[./])\d{1,2}(?P=dot)\d{2,4} (?!\d) )
    | (?P<claim>
        (?P<sign> (?<![\w%)\]])[-+−–] )? [$€£]?
        (?: (?P<whole> \d{1,3}(?:,\d{3}){1,12}(?!\d) | \d++ ) (?:\.(?P<part>\d++))? | \.(?P<fraction>\d++) )
        (?: [eE](?P<power>[+-]?[0-9]{1,3})(?!\d) )?
        (?P<after>
            (?P<percent> \s?% | \s?(?i:percent|per\ cent|pct)\b )
            | (?P<bps> \s?(?i:bps?|basis\ points?)\b )
            | (?P<kilo> [kK]\b )
            | (?P<other> (?:st|nd|rd|th|ms|[smhd])\b
                | [\s-]?(?i:milliseconds?|seconds?|secs?|minutes?|mins?|hours?|days?|weeks?)\b ) )? )
    """,
    re.VERBOSE,
)
_MINUS = "-−–"


class Claim(NamedTuple):
    """A number as it was written, its value, and what one more in its last digit is worth.

    The value of a number of more than 40 characters is not a number, and matches nothing.
    """

    text: str
    value: float
    step: float
    signed: bool
    unit: Unit


def claims(text: str) -> list[Claim]:
    """The numbers that a text cites, in their order. Takes time in proportion to the text."""
    found = (each for each in _TOKEN.finditer(text) if each["claim"] and not each["other"])
    return [_claim(each) for each in found]


def unsupported(text: str, snapshot: Snapshot, rows: int, shown: Sequence[str] = ()) -> tuple[str, ...]:
    """The claims of a text, as written, that match nothing that the agent was shown; each once, in their order.

    Shown are the last `rows` quotes, the figures over them, the written rule's, the account, its bounds, and
    the numbers in the texts `shown`, such as headlines or another agent's answer.
    """
    made = claims(text)
    if not made:
        return ()
    facts = _with_texts(facts_of(snapshot, rows), (snapshot.symbol, *shown))
    return tuple(dict.fromkeys(claim.text for claim in made if not _matches(claim, facts)))


def _claim(found: re.Match[str]) -> Claim:
    written = found["claim"].strip()
    if len(written) > LONGEST:
        return Claim(f"{written[: LONGEST - 1]}…", math.nan, 0.0, signed=False, unit="")
    part = found["part"] or found["fraction"] or ""
    power = int(found["power"] or 0) + (3 if found["kilo"] else 0)
    size = float(f"{(found['whole'] or '').replace(',', '')}.{part or 0}e{power}")
    step = float(f"1e{power - len(part)}")
    value = -size if found["sign"] and found["sign"] in _MINUS else size
    unit: Unit = "%" if found["percent"] else "bps" if found["bps"] else ""
    signed = bool(found["sign"]) and size > 0
    return Claim(written, value, step if size else min(step, 1.0), signed, unit)


def _with_texts(facts: Facts, texts: Iterable[str]) -> Facts:
    """Facts and the numbers of texts, which may be cited with or without their unit, and in % for bps."""
    cited = [claim for text in texts for claim in claims(text) if math.isfinite(claim.value)]
    if not cited:
        return facts
    values = [claim.value for claim in cited]
    bps = [claim.value * 100 for claim in cited if claim.unit == "%"]
    percent = [claim.value / 100 for claim in cited if claim.unit == "bps"]
    return Facts(
        sorted((*facts.plain, *values)),
        sorted((*facts.bps, *values, *bps)),
        sorted((*facts.percent, *values, *percent)),
    )


def _matches(claim: Claim, facts: Facts) -> bool:
    if not (math.isfinite(claim.value) and math.isfinite(claim.step)):
        return False
    known = {"": facts.plain, "bps": facts.bps, "%": facts.percent}[claim.unit]
    above = not claim.signed or claim.value > 0
    below = not claim.signed or claim.value < 0
    low, high = _reach(abs(claim.value), claim.step)
    return (above and _any_between(known, low, high)) or (below and _any_between(known, -high, -low))


def _reach(size: float, step: float) -> tuple[float, float]:
    """Between which sizes a fact may lie: rounding, cutting and 0.1 % each allow an interval about the claim."""
    low = min(size - step / 2 * (1 + _ROUNDING), size / (1 + NEAR))
    high = max(size + step * (1 - _ROUNDING), size / (1 - NEAR))
    return (max(low, 0.0) if size else -high), high


def _any_between(known: Sequence[float], low: float, high: float) -> bool:
    return bisect_left(known, low) < bisect_right(known, high)
