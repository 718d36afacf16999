"""A run on a recorded tape with a real model and server, replayed without them."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from autohedge import app
from autohedge.audit import AuditFilter, audit
from autohedge.core.events import GateChanged
from autohedge.journal import RunFolder, read, verify
from autohedge.llm.transcript import read as transcribed
from tests.graph.record_factory import by_model, forging, require_difference, with_answer, with_message

pytestmark = pytest.mark.model

CALLS = 10
OVERRIDES = [
    "trading.mode=hybrid",
    "llm.provider=openai",
    "tools.table_rows=4",
    "llm.timeout_s=180",
    "llm.retries=0",
    "agents.director.temperature=0",  # the share that is accepted then depends on the schema, not on chance
    f"llm.max_calls={CALLS}",
    "hybrid.gate_refresh_quotes=100",
    "hybrid.min_refresh_s=2",
    "hybrid.learn_every_trades=0",
    "hybrid.cache_verdicts=false",
    "agents.director.min_confidence_pct=0",
]


@pytest.fixture(scope="module")
def run(shared: Path, real_model: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on a part of a recorded tape with ten answers of the model; then the budget is used up."""
    announcements: list[str] = []
    run = by_model(shared, real_model, tmp_path_factory.mktemp("real"), OVERRIDES, announcements)
    assert "calls" in announcements[0] and "minutes" in announcements[1]
    return run


def test_real_model_answers_are_mostly_valid_and_open_a_gate(run: RunFolder) -> None:
    lines = [line for line in transcribed(run.transcript) if line.request]
    outcomes = Counter(line.outcome for line in lines if line.tries)
    assert outcomes.total() >= CALLS
    assert outcomes["accepted"] + outcomes["repaired"] >= 0.8 * outcomes.total(), outcomes
    assert all(line.outcome for line in lines)
    opened = [
        e.event for e in read(run.journal) if isinstance(e.event, GateChanged) and e.event.state == "open"
    ]
    assert opened and {event.why for event in opened} == {"openai"}
    answered = [line.response for line in lines if line.response]
    assert all(
        each.usage and each.usage.prompt_tokens > 400 and each.server == "llama_cpp" for each in answered
    )


def test_real_model_run_verifies_audits_and_replays_without_server(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", _no_network)
    assert verify(run).finished
    difference, finished = app.replay_engine(run)
    assert (difference, finished) == (None, True)
    replay = app.replay_deliberations(run)
    assert replay and replay.difference is None and replay.requests >= CALLS
    whole = audit(run, AuditFilter(last=999)).conversations
    assert any(call.request and call.response for each in whole for call in each.calls)


def _no_network(*_: object) -> None:
    raise AssertionError("a replay needs no network")


@pytest.mark.parametrize("named", [True, False])
def test_one_changed_character_is_the_first_difference(
    run: RunFolder, tmp_path: Path, *, named: bool
) -> None:
    forged = RunFolder(Path(shutil.copytree(run.path, tmp_path / run.id)))
    with forging(forged, named=named) as lines:
        at = next(n for n, line in enumerate(lines) if line.request and line.outcome == "accepted")
        request = lines[at].request
        assert request
        text = request.messages[1].content
        lines[at] = with_message(lines[at], 1, text.replace("Symbol", "symbol", 1))
    assert require_difference(forged).deliberation == lines[at].deliberation


def test_a_changed_answer_is_the_first_difference(run: RunFolder, tmp_path: Path) -> None:
    forged = RunFolder(Path(shutil.copytree(run.path, tmp_path / run.id)))
    with forging(forged, named=False) as lines:
        at = next(n for n, line in enumerate(lines) if line.response and line.outcome == "accepted")
        response = lines[at].response
        assert response
        answer = json.loads(response.text)
        assert answer["symbol"] == "BTCUSDT"
        lines[at] = with_answer(lines[at], response.text.replace("BTCUSDT", "BTCUSDt", 1))
    assert require_difference(forged).deliberation == lines[at].deliberation
