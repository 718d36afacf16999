"""Checks the numbers in a model's text against the numbers in its prompt; unmatched ones are unsupported.

A claim is a number in a text: `64,100.5`, `-3.2 bps`, `0.4%`, `$64.1k`, `1e-5`, in the decimal digits of any
script. Not claims are numeric times and dates (14:05, 2024-08-08), ordinals (3rd), durations (5m, 30
seconds), and digits after a Latin letter, with or without a hyphen, as in RSI14 or RSI-14, which are names.

A claim matches a fact if it is the fact rounded or truncated to the claim's last digit, or within 0.1 % of
it. A claim without a sign matches facts of both signs, a claim with a sign only facts of that sign; zero has
no sign. A claim in bps matches figures in bps. A claim in % matches a hundredth of those, the RSI, or the
imbalance times 100. A claim without a unit matches any number as it is shown. A match does not prove the
sentence: the number can refer to something else, which is the more likely the fewer digits it has.
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
KEY_LEVEL = "key level "
NEAR = 1e-3
_ROUNDING = 1e-9

# Every repeat is bounded or possessive (cannot backtrack), so that a search takes linear time.
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
    """A number as it was written, its value, and the value of one unit in its last digit.

    A number of more than 40 characters has the value NaN and matches nothing.
    """

    text: str
    value: float
    step: float
    signed: bool
    unit: Unit


def claims(text: str) -> list[Claim]:
    """Returns the numbers in a text, in order. Takes time linear in the length of the text."""
    found = (each for each in _TOKEN.finditer(text) if each["claim"] and not each["other"])
    return [_claim(each) for each in found]


def unsupported(text: str, snapshot: Snapshot, rows: int, shown: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the claims of a text, as written, that match nothing in the prompt; each once, in order.

    The prompt shows the last `rows` quotes, the figures over them, those of the rules backend, the account,
    its limits, and the numbers in the texts `shown`, such as headlines or another agent's answer.
    """
    made = claims(text)
    if not made:
        return ()
    facts = _with_texts(facts_of(snapshot, rows), (snapshot.symbol, *shown))
    return tuple(dict.fromkeys(claim.text for claim in made if not _matches(claim, facts)))


def implausible_levels(levels: Iterable[float], snapshot: Snapshot) -> tuple[str, ...]:
    """Returns the key levels that are more than 50 % from the market, each as `key level 0.46`, in order."""
    least, most = snapshot.plausible_prices
    return tuple(dict.fromkeys(f"{KEY_LEVEL}{each:.10g}" for each in levels if not least <= each <= most))


def _claim(found: re.Match[str]) -> Claim:
    written = found["claim"].strip()
    # No number in a prompt is that long, and parsing one could overflow.
    if len(written) > LONGEST:
        return Claim(f"{written[: LONGEST - 1]}…", math.nan, 0.0, signed=False, unit="")
    part = found["part"] or found["fraction"] or ""
    power = int(found["power"] or 0) + (3 if found["kilo"] else 0)
    size = float(f"{(found['whole'] or '').replace(',', '')}.{part or 0}e{power}")
    step = float(f"1e{power - len(part)}")
    # Models write the minus sign as a hyphen, a minus or a dash.
    value = -size if found["sign"] and found["sign"] in _MINUS else size
    unit: Unit = "%" if found["percent"] else "bps" if found["bps"] else ""
    signed = bool(found["sign"]) and size > 0
    return Claim(written, value, step if size else min(step, 1.0), signed, unit)


def _with_texts(facts: Facts, texts: Iterable[str]) -> Facts:
    """Adds the numbers of texts to the facts, with and without unit, and converted between % and bps."""
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
    # Without a sign the text may state the direction in words, as in "fell by 3 bps".
    above = not claim.signed or claim.value > 0
    below = not claim.signed or claim.value < 0
    low, high = _reach(abs(claim.value), claim.step)
    return (above and _any_between(known, low, high)) or (below and _any_between(known, -high, -low))


def _reach(size: float, step: float) -> tuple[float, float]:
    """Returns the interval of matching facts, which covers rounding, truncation and 0.1 %."""
    # `_ROUNDING` widens rounding at its closed end and narrows truncation at its open end, against float
    # errors.
    low = min(size - step / 2 * (1 + _ROUNDING), size / (1 + NEAR))
    high = max(size + step * (1 - _ROUNDING), size / (1 - NEAR))
    return (max(low, 0.0) if size else -high), high


def _any_between(known: Sequence[float], low: float, high: float) -> bool:
    return bisect_left(known, low) < bisect_right(known, high)
