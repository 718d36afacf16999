"""A probe of models that answer in a known way; each gets its verdict."""

import math
from collections import Counter

import pytest

from autohedge.ask import ModelProbe, ProbePlan, probe_model
from autohedge.ask.model_probe import probe_snapshots
from autohedge.core.errors import Misconfigured
from autohedge.market import Tape
from tests.ask import answering_models as models
from tests.ask.answering_models import Model
from tests.run_harness import quotes_tape, settings

ROWS = 8
SETTINGS = settings(tools__table_rows=ROWS, llm__retries=0)


def _wave(count: int = 72) -> Tape:
    """A tape whose mid rises and falls by five bps a quote."""
    mids = [100 + math.sin(i / 6) for i in range(count)]
    return quotes_tape([((i + 1) * 10**9, mid - 0.01, mid + 0.01) for i, mid in enumerate(mids)])


WAVE = _wave()


def _probed(model: Model, agent: str = "director", rounds: int = 3) -> ModelProbe:
    return models.probed(model, SETTINGS, WAVE, ProbePlan(agent, rounds))


@pytest.mark.parametrize("agent", ["director", "quant", "risk"])
@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        (models.first_named, "answers by position"),
        (models.last_named, "answers by position"),
        (models.reading, "reads"),
        (models.constant(), "ignores the figures"),
        (models.talking, "no valid answers"),
    ],
)
def test_model_gets_the_verdict_of_how_it_answers(agent: str, model: Model, verdict: str) -> None:
    if agent == "risk" and verdict == "ignores the figures":
        model = models.constant(decision="reject")
    assert _probed(model, agent).findings.verdict == verdict


def test_first_named_choice_is_counted_in_each_order() -> None:
    found = _probed(models.first_named).findings
    assert found.variants["as_is"].answers == {"trade long": 3}
    assert found.variants["swapped"].answers == {"no_trade long": 3}
    assert [each.first_named for each in found.variants.values()] == [3] * 5
    last = _probed(models.last_named).findings
    assert [each.first_named for each in last.variants.values()] == [0] * 5
    assert last.variants["as_is"].answers == {"no_trade long": 3}


def test_model_that_reads_follows_every_reversal_and_no_order() -> None:
    found = _probed(models.reading).findings
    assert (found.follows_reversal.count, found.follows_reversal.of) == (3, 3)
    assert (found.moves_with_order.count, found.acts_on_empty.count) == (0, 0)
    assert (found.repeats_agree.count, found.same_whatever_figures.count) == (3, 0)
    assert found.median_prompt_tokens > 500 and found.median_completion_tokens > 10


def test_model_that_wants_an_entry_without_figures_ignores_them() -> None:
    found = _probed(models.eager).findings
    assert (found.follows_reversal.count, found.acts_on_empty.count) == (3, 3)
    assert found.verdict == "ignores the figures"


def test_model_that_takes_rises_for_falls_does_not_read() -> None:
    found = _probed(models.contrary).findings
    assert (found.follows_reversal.count, found.follows_reversal.of) == (0, 3)
    assert found.verdict == "undecided"


def test_model_whose_repeats_differ_does_not_answer_by_position() -> None:
    found = _probed(models.alternating(), rounds=6).findings
    assert found.repeats_agree.count < found.repeats_agree.of
    assert found.verdict not in {"reads", "answers by position"}


def test_invalid_answers_are_counted_by_their_code() -> None:
    found = _probed(models.talking).findings
    codes = sum((Counter(each.invalid) for each in found.variants.values()), Counter[str]())
    assert codes == {"no_json": 15}
    assert [each.asked for each in found.variants.values()] == [3] * 5


def test_one_round_is_undecided() -> None:
    assert _probed(models.reading, rounds=1).findings.verdict == "undecided"


def test_rounds_are_at_the_clearest_move_of_each_part_of_the_tape() -> None:
    snapshots = probe_snapshots(SETTINGS, WAVE, ProbePlan(rounds=3))
    assert [each.number for each in snapshots] == [1, 2, 3]
    for part, snapshot in enumerate(snapshots):
        last = snapshot.at_ns // 10**9 - 1
        assert part * 24 + ROWS - 1 <= last < (part + 1) * 24
        mids = [100 + math.sin(i / 6) for i in range(72)]
        moves = {i: abs(mids[i] / mids[i - ROWS + 1] - 1) for i in range(part * 24 + 7, part * 24 + 24)}
        assert last == max(moves, key=lambda i: moves[i])


def test_rounds_take_no_quote_after_the_time_that_is_given() -> None:
    at_ns = 40 * 10**9
    snapshots = probe_snapshots(SETTINGS, WAVE, ProbePlan(rounds=3, at_ns=at_ns))
    assert len(snapshots) == 3 and max(each.at_ns for each in snapshots) <= at_ns


@pytest.mark.parametrize(
    ("plan", "tape", "fault"),
    [
        (ProbePlan("learning"), WAVE, "--agent learning: choose director, quant, risk"),
        (ProbePlan(symbol="Y"), WAVE, "the tape has no Y, only X"),
        (ProbePlan(rounds=10), WAVE, "10 rounds need 80 valid quotes, there are 72"),
        (ProbePlan(at_ns=10**9), WAVE, "there are 1; use a later --at"),
        (ProbePlan(rounds=1), quotes_tape([(i, 1.0, 1.1) for i in range(1, 20)]), "does not move"),
    ],
)
def test_plan_that_cannot_be_probed_is_refused(plan: ProbePlan, tape: Tape, fault: str) -> None:
    with pytest.raises(Misconfigured, match=fault):
        probe_model(SETTINGS, tape, plan, lambda _: None)


def test_table_of_one_quote_is_refused() -> None:
    with pytest.raises(Misconfigured, match="table_rows is 1"):
        probe_snapshots(settings(tools__table_rows=1), WAVE, ProbePlan())
