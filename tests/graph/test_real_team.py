"""The whole team with a real model behind a real server, on a recorded tape; then both replays without it."""

from collections import defaultdict
from pathlib import Path

import pytest

from autohedge import app
from autohedge.core.abstentions import ABSTENTIONS, REFUSALS
from autohedge.core.events import Decision, Disposed, SubmitOrder
from autohedge.core.orders import BUY
from autohedge.core.reasons import Reason
from autohedge.journal import RunFolder, read, verify
from autohedge.llm.transcript import Line
from autohedge.llm.transcript import read as transcribed
from tests.graph.records import by_model

pytestmark = pytest.mark.model

CALLS = 14
ASKED = [
    "trading.mode=llm",
    "llm.provider=openai",
    "tools.table_rows=4",
    "llm.timeout_s=180",
    "hybrid.deadline_s=900",
    "llm.retries=0",
    "llm.min_interval_s=3",
    f"llm.max_calls={CALLS}",
    "hybrid.learn_every_trades=0",
    "agents.director.min_confidence_pct=0",  # the small model knows no confidence but 0 ...
    "sizing.min_order_amount=0.5",  # ... and no size but 1 %
]
ORDER = ("director", "quant", "risk", "execution")
Trails = dict[int, list[Line]]


@pytest.fixture(scope="module")
def run(shared: Path, real_model: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """As many answers of the model as the budget has, on a part of a recorded tape."""
    return by_model(shared, real_model, tmp_path_factory.mktemp("team"), ASKED, [])


@pytest.fixture(scope="module")
def trails(run: RunFolder) -> Trails:
    """The calls of each deliberation in which anybody was asked."""
    found: Trails = defaultdict(list)
    for line in transcribed(run.transcript):
        if line.tries:
            found[line.deliberation].append(line)
    return found


def test_agents_follow_each_other_and_one_deliberation_at_least_reaches_execution(trails: Trails) -> None:
    for lines in trails.values():
        asked = list(dict.fromkeys(line.agent for line in lines))
        assert asked == list(ORDER[: len(asked)])
    reached = {lines[-1].agent for lines in trails.values()}
    assert "execution" in reached, reached


def test_every_trail_ends_in_an_order_or_in_a_typed_refusal(run: RunFolder, trails: Trails) -> None:
    events = [line.event for line in read(run.journal)]
    decided = {each.number: each for each in events if isinstance(each, Decision)}
    disposed = {each.number: each.code for each in events if isinstance(each, Disposed)}
    codes = {*ABSTENTIONS, *REFUSALS, *(reason.label for reason in Reason)}
    for number, lines in trails.items():
        assert disposed[number] in codes
        assert (decided[number].proposal is not None) is (
            lines[-1].agent == "execution" and lines[-1].outcome in ("accepted", "repaired")
        )
    bought = [each for each in events if isinstance(each, SubmitOrder) and each.side is BUY]
    assert len(bought) == list(disposed.values()).count("entry")


def test_both_replays_hold_without_the_server(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", _no_network)
    assert verify(run).finished
    assert app.replay_run(run) == (None, True)
    reread = app.reread_run(run)
    assert reread and reread.difference is None and reread.requests >= CALLS


def _no_network(*_: object) -> None:
    raise AssertionError("a replay needs no network")
