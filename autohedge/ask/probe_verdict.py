"""What the answers of a probe show: plain counts, and the verdict on them.

Each count is of the rounds whose answers it compares are all valid. `Most` is at least two thirds of at least two
such rounds, `few` at most a third. The first line that holds is the verdict:

    no valid answers      no answer is valid
    answers by position   in most rounds the choice moves with the order, and in more than those whose repeat differs
    ignores the figures   in most rounds the answer is the same to the figures, their reversal and none; or in most
                          rounds the answer to the empty table wants an entry
    reads                 most rounds follow the reversed figures, in few of at least two rounds the choice moves with
                          the order, in few the answer to the empty table wants an entry, and most repeats agree
    undecided             otherwise: too few valid answers, or no clear pattern
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import get_args

import msgspec

from autohedge.ask.probe_questions import ProbedAnswer, Variant
from autohedge.llm.backends.probe_results import READS, ProbeVerdict
from autohedge.llm.outcome import REPAIRED

VARIANTS: tuple[Variant, ...] = get_args(Variant)
LEAST_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class VariantAnswer:
    """The answer to one variant: its compared `text`, empty if invalid, and the `choice` of the decision in it.

    `order` has the choices as they were listed. `code` is `accepted`, `repaired`, or why there is no answer.
    `seconds` and the tokens are those of all calls, a repair included.
    """

    text: str
    choice: str
    order: tuple[str, ...]
    code: str
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def place(self) -> int:
        """The place of the choice in the list."""
        return self.order.index(self.choice)


@dataclass(frozen=True, slots=True)
class ProbeRound:
    """The answers about one snapshot at `at_ns`, in which the price `rises` as it is, and else falls."""

    at_ns: int
    rises: bool
    answers: Mapping[Variant, VariantAnswer]

    def valid(self, *variants: Variant) -> list[VariantAnswer]:
        """Returns the answers to these variants, none if any of them is invalid."""
        found = [self.answers[each] for each in variants]
        return found if all(each.text for each in found) else []


class RoundCount(msgspec.Struct, frozen=True):
    """In how many rounds something holds, of those that show it."""

    count: int
    of: int

    @classmethod
    def over(cls, shown: Iterable[bool]) -> "RoundCount":
        """Counts rounds by whether something holds in them."""
        found = list(shown)
        return cls(sum(found), len(found))

    @property
    def is_most(self) -> bool:
        """Whether it holds in at least two thirds of at least two rounds."""
        return self.of >= LEAST_ROUNDS and 3 * self.count >= 2 * self.of

    @property
    def is_few(self) -> bool:
        """Whether it holds in at most a third of the rounds."""
        return 3 * self.count <= self.of


class VariantCounts(msgspec.Struct, frozen=True):
    """The answers to one variant: how often each valid one came, and how often each code of an invalid one.

    `first_named` counts the valid answers whose choice is the first of the list.
    """

    asked: int
    answers: dict[str, int]
    invalid: dict[str, int]
    repaired: int
    first_named: int

    @property
    def valid(self) -> int:
        """The number of valid answers."""
        return sum(self.answers.values())


class ProbeFindings(msgspec.Struct, frozen=True):
    """The counts of a probe; `median_seconds` and the tokens are per question, 0 without an answer.

    `moves_with_order`: the choice is another one at the same place of the swapped list. `follows_reversal`: the answer
    to the rising prices fits a rise better than the one to the falling prices. `same_whatever_figures`: the answer is
    the same as it is, reversed and empty. `acts_on_empty`: an answer to the empty table wants an entry.
    `repeats_agree`: the same question got the same answer.
    """

    variants: dict[Variant, VariantCounts]
    moves_with_order: RoundCount
    follows_reversal: RoundCount
    same_whatever_figures: RoundCount
    acts_on_empty: RoundCount
    repeats_agree: RoundCount
    median_seconds: float
    median_prompt_tokens: float
    median_completion_tokens: float

    @property
    def verdict(self) -> ProbeVerdict:
        """The verdict, by the rules of this module."""
        order, reversal, repeats = self.moves_with_order, self.follows_reversal, self.repeats_agree
        if not any(each.valid for each in self.variants.values()):
            return "no valid answers"
        if order.is_most and order.count > repeats.of - repeats.count:
            return "answers by position"
        if self.same_whatever_figures.is_most or self.acts_on_empty.is_most:
            return "ignores the figures"
        is_steady = (
            order.of >= LEAST_ROUNDS and order.is_few and self.acts_on_empty.is_few and repeats.is_most
        )
        return READS if reversal.is_most and is_steady else "undecided"


def findings(probed: ProbedAnswer, rounds: Sequence[ProbeRound]) -> ProbeFindings:
    """Counts what the answers of all rounds show."""
    answers = [each.answers[variant] for each in rounds for variant in VARIANTS]
    answered = [each for each in answers if each.completion_tokens]
    return ProbeFindings(
        variants={name: _counts([each.answers[name] for each in rounds]) for name in VARIANTS},
        moves_with_order=RoundCount.over(_moved(*pair) for pair in _complete(rounds, "as_is", "swapped")),
        follows_reversal=RoundCount.over(
            _follows(probed.leans, each) for each in rounds if each.valid("as_is", "reversed")
        ),
        same_whatever_figures=_same(rounds, "as_is", "reversed", "empty"),
        acts_on_empty=RoundCount.over(each.choice == probed.acts for (each,) in _complete(rounds, "empty")),
        repeats_agree=_same(rounds, "as_is", "repeat"),
        median_seconds=_median(each.seconds for each in answered),
        median_prompt_tokens=_median(each.prompt_tokens for each in answered),
        median_completion_tokens=_median(each.completion_tokens for each in answered),
    )


def _complete(rounds: Sequence[ProbeRound], *variants: Variant) -> list[list[VariantAnswer]]:
    """Returns the answers to these variants of each round in which all of them are valid."""
    return [valid for each in rounds if (valid := each.valid(*variants))]


def _same(rounds: Sequence[ProbeRound], *variants: Variant) -> RoundCount:
    return RoundCount.over(len({each.text for each in valid}) == 1 for valid in _complete(rounds, *variants))


def _moved(plain: VariantAnswer, swapped: VariantAnswer) -> bool:
    return plain.choice != swapped.choice and plain.place == swapped.place


def _follows(leans: Mapping[str, int], each: ProbeRound) -> bool:
    plain, turned = (leans[answer.text] for answer in each.valid("as_is", "reversed"))
    return plain > turned if each.rises else turned > plain


def _counts(answers: Sequence[VariantAnswer]) -> VariantCounts:
    valid = [each for each in answers if each.text]
    return VariantCounts(
        asked=len(answers),
        answers=dict(Counter(each.text for each in valid).most_common()),
        invalid=dict(Counter(each.code for each in answers if not each.text).most_common()),
        repaired=sum(each.code == REPAIRED for each in answers),
        first_named=sum(each.place == 0 for each in valid),
    )


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return float(median(found)) if found else 0.0
