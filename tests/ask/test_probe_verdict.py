"""The rules of the verdict, on counts and on random answers."""

from collections import Counter
from typing import Any

import pytest

from autohedge.ask.probe_questions import PROBED
from autohedge.ask.probe_verdict import (
    VARIANTS,
    ProbeFindings,
    ProbeRound,
    RoundCount,
    VariantAnswer,
    VariantCounts,
    findings,
)
from autohedge.core.ids import seeded_random

ORDER = ("trade", "no_trade")
TALLIES = {
    "moves_with_order": (0, 3),
    "follows_reversal": (3, 3),
    "same_whatever_figures": (0, 3),
    "acts_on_empty": (0, 3),
    "repeats_agree": (3, 3),
}


def _findings(changes: dict[str, tuple[int, int]], valid: int = 3) -> ProbeFindings:
    counts = VariantCounts(3, {"trade long": valid} if valid else {}, {}, 0, 0)
    medians = dict.fromkeys(("median_seconds", "median_prompt_tokens", "median_completion_tokens"), 0.0)
    tallies = {name: RoundCount(*pair) for name, pair in (TALLIES | changes).items()}
    values: dict[str, Any] = {"variants": dict.fromkeys(VARIANTS, counts), **tallies, **medians}
    return ProbeFindings(**values)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "reads"),
        ({"moves_with_order": (1, 3), "follows_reversal": (2, 3), "repeats_agree": (2, 3)}, "reads"),
        ({"acts_on_empty": (0, 0)}, "reads"),
        ({"moves_with_order": (2, 3)}, "answers by position"),
        ({"moves_with_order": (2, 3), "same_whatever_figures": (3, 3)}, "answers by position"),
        ({"moves_with_order": (2, 3), "repeats_agree": (1, 3)}, "undecided"),
        ({"moves_with_order": (2, 2), "follows_reversal": (0, 0)}, "answers by position"),
        ({"same_whatever_figures": (2, 3)}, "ignores the figures"),
        ({"acts_on_empty": (2, 3)}, "ignores the figures"),
        ({"acts_on_empty": (1, 2)}, "undecided"),
        ({"follows_reversal": (1, 3)}, "undecided"),
        ({"follows_reversal": (1, 1)}, "undecided"),
        ({"moves_with_order": (1, 1)}, "undecided"),
        ({"moves_with_order": (1, 2)}, "undecided"),
        ({"repeats_agree": (0, 0)}, "undecided"),
    ],
)
def test_counts_lead_to_the_verdict(changes: dict[str, tuple[int, int]], verdict: str) -> None:
    assert _findings(changes).verdict == verdict


def test_probe_without_a_valid_answer_has_its_own_verdict() -> None:
    assert _findings({}, valid=0).verdict == "no valid answers"


def test_random_answers_are_hardly_ever_taken_for_reading() -> None:
    random, verdicts = seeded_random("probe", "answers"), Counter[str]()

    def answer(order: tuple[str, ...]) -> VariantAnswer:
        choice, direction = order[random.random() < 0.5], ("long", "short")[random.random() < 0.5]
        return VariantAnswer(f"{choice} {direction}", choice, order, "accepted")

    for _ in range(300):
        rounds = [
            ProbeRound(
                0,
                random.random() < 0.5,
                {name: answer(ORDER[::-1] if name == "swapped" else ORDER) for name in VARIANTS},
            )
            for _ in range(5)
        ]
        verdicts[findings(PROBED["director"], rounds).verdict] += 1
    assert verdicts["reads"] <= 3 and verdicts.total() == 300


def test_a_round_with_an_invalid_answer_counts_where_the_others_suffice() -> None:
    good, bad = (
        VariantAnswer("trade long", "trade", ORDER, "accepted"),
        VariantAnswer("", "", ORDER, "no_json"),
    )
    answers = dict.fromkeys(VARIANTS, good) | {"swapped": bad}
    found = findings(PROBED["director"], [ProbeRound(0, True, answers)])
    assert (found.moves_with_order, found.follows_reversal) == (RoundCount(0, 0), RoundCount(0, 1))
    assert found.variants["swapped"].invalid == {"no_json": 1} and found.variants["as_is"].valid == 1
