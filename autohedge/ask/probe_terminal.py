"""A probe on a terminal or as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.text import Text

from autohedge.ask.model_probe import ModelProbe
from autohedge.ask.probe_questions import PROBED
from autohedge.ask.probe_verdict import RoundCount, VariantCounts
from autohedge.audit.terminal import Piece, print_pieces
from autohedge.core.abstentions import ABSTENTIONS
from autohedge.core.clock import format_utc
from autohedge.llm.backends.probe_results import ProbeVerdict
from autohedge.llm.errors import one_line

MEANINGS: dict[ProbeVerdict, str] = {
    "reads": "the answers follow the figures, and not the order of the choices",
    "answers by position": "the choice moves with the order in which the prompt lists the choices",
    "ignores the figures": "the answers do not depend on the figures",
    "no valid answers": "no answer can be used",
    "undecided": "too few valid answers, or no clear pattern; try more --rounds",
}


def print_probe(probe: ModelProbe) -> None:
    """Prints the answers to each variant, what they show, and the verdict."""
    print_pieces(_pieces(probe))


def as_dict(probe: ModelProbe) -> dict[str, Any]:
    """Returns all figures as JSON values."""
    found: dict[str, Any] = msgspec.to_builtins(probe.findings)
    return {
        "recorded": False,
        "provider": probe.provider,
        "model": probe.model,
        "server": probe.server,
        "agent": probe.agent,
        "symbol": probe.symbol,
        "rounds": len(probe.rounds),
        "at_ns": [each.at_ns for each in probe.rounds],
        **found,
        "verdict": probe.findings.verdict,
    }


def _pieces(probe: ModelProbe) -> Iterator[Piece]:
    found, acts = probe.findings, PROBED[probe.agent].acts
    times = ", ".join(format_utc(each.at_ns) for each in probe.rounds)
    yield Text(f"{probe.agent} · {one_line(probe.symbol)} · rounds at {times} UTC", "bold")
    yield ("answers", _who(probe))
    yield ("record", "probe: nothing is recorded, no order is sent")
    for variant, counts in found.variants.items():
        yield (variant.replace("_", " "), _answers(counts))
    yield ("order", f"the choice moves with the order in {_of(found.moves_with_order)}")
    yield ("direction", f"follows the reversed figures in {_of(found.follows_reversal)}")
    yield ("same answer", f"as it is, reversed and empty in {_of(found.same_whatever_figures)}")
    yield ("empty table", f"the answer is {acts} in {_of(found.acts_on_empty)}")
    yield ("repeats", f"agree in {_of(found.repeats_agree)}")
    if invalid := sum((Counter(each.invalid) for each in found.variants.values()), Counter[str]()):
        yield ("invalid", _counted(dict(invalid.most_common())))
        if cause := _cause(invalid):
            yield ("cause", cause)
    yield ("median", _cost(probe))
    yield ("verdict", f"{found.verdict}: {MEANINGS[found.verdict]}")


def _cause(invalid: Counter[str]) -> str:
    """Returns cause and cure of the most frequent code; a breaker that is open only follows from another one."""
    codes = [code for code, _ in invalid.most_common() if code in ABSTENTIONS and code != "breaker_open"]
    return ABSTENTIONS[codes[0]].text if codes else ""


def _who(probe: ModelProbe) -> str:
    if probe.provider == "rules":
        return "rules, a fixed formula: no LLM is called; choose one with --set llm.provider=…"
    return f"{one_line(probe.provider)} · {one_line(probe.model)} · {one_line(probe.server)}"


def _answers(counts: VariantCounts) -> str:
    if not counts.valid:
        return f"0 of {counts.asked} valid"
    first = f"first-named choice in {counts.first_named} of {counts.valid}"
    repaired = f", {counts.repaired} repaired" if counts.repaired else ""
    return f"{counts.valid} of {counts.asked} valid{repaired}: {_counted(counts.answers)}; {first}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _of(tally: RoundCount) -> str:
    return f"{tally.count} of {tally.of} rounds"


def _cost(probe: ModelProbe) -> str:
    found = probe.findings
    return (
        f"{found.median_seconds:.1f} s, {found.median_prompt_tokens:,.0f} tokens read, "
        f"{found.median_completion_tokens:,.0f} written per question"
    )
