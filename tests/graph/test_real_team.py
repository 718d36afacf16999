"""All agents with a real model and server on a recorded tape, then both replays without them."""

from collections import defaultdict
from pathlib import Path

import pytest

from autohedge import app
from autohedge.core.abstentions import ABSTENTIONS, REFUSALS
from autohedge.core.events import Decision, ProposalResolved, SubmitOrder
from autohedge.core.orders import BUY
from autohedge.core.reasons import Reason
from autohedge.journal import RunFolder, read, verify
from autohedge.llm.transcript import TranscriptEntry
from autohedge.llm.transcript import read as transcribed
from tests.graph.record_factory import by_model

pytestmark = pytest.mark.model

CALLS = 14
OVERRIDES = [
    "trading.mode=llm",
    "llm.provider=openai",
    "tools.table_rows=4",
    "llm.timeout_s=180",
    "hybrid.deadline_s=900",
    "llm.retries=0",
    "llm.min_interval_s=3",
    f"llm.max_calls={CALLS}",
    "hybrid.learn_every_trades=0",
    "agents.director.min_confidence_pct=0",  # the small model always answers a confidence of 0 ...
    "sizing.min_order_amount=0.5",  # ... and a size of 1 %
]
# With the packaged prompt the small model calls every thesis supported, with a score and levels of 0, which are
# refused. It copies an example, so that Risk and Execution are asked too.
QUANT_PROMPT = """---
version: 1
temperature: 0.0
max_tokens: 200
---
# System

Answer with one JSON object and nothing else:

{{"symbol": "{symbol}", "thesis": "supported", "technical_score_pct": 60, "support": 61000,
"resistance": 62000, "volatility": "pass"}}

# User

The claim: {thesis}

Is the claim true for {symbol}? Answer with the JSON object.
"""
ORDER = ("director", "quant", "risk", "execution")
CallsByDeliberation = dict[int, list[TranscriptEntry]]


@pytest.fixture(scope="module")
def run(shared: Path, real_model: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on a part of a recorded tape with as many answers of the model as the budget allows."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "prompts").mkdir()
    (folder / "prompts/quant.md").write_text(QUANT_PROMPT)
    return by_model(shared, real_model, folder, OVERRIDES, [])


@pytest.fixture(scope="module")
def calls_by_deliberation(run: RunFolder) -> CallsByDeliberation:
    """Returns the calls of each deliberation that made any."""
    found: CallsByDeliberation = defaultdict(list)
    for line in transcribed(run.transcript):
        if line.tries:
            found[line.deliberation].append(line)
    return found


def test_agents_run_in_order_and_a_deliberation_reaches_execution(
    calls_by_deliberation: CallsByDeliberation,
) -> None:
    for lines in calls_by_deliberation.values():
        agents = list(dict.fromkeys(line.agent for line in lines))
        assert agents == list(ORDER[: len(agents)])
    reached = {lines[-1].agent for lines in calls_by_deliberation.values()}
    assert "execution" in reached, reached


def test_every_deliberation_ends_in_an_order_or_a_typed_refusal(
    run: RunFolder, calls_by_deliberation: CallsByDeliberation
) -> None:
    events = [line.event for line in read(run.journal)]
    decided = {each.number: each for each in events if isinstance(each, Decision)}
    resolved = {each.number: each.code for each in events if isinstance(each, ProposalResolved)}
    codes = {*ABSTENTIONS, *REFUSALS, *(reason.label for reason in Reason)}
    for number, lines in calls_by_deliberation.items():
        assert resolved[number] in codes
        assert (decided[number].proposal is not None) is (
            lines[-1].agent == "execution" and lines[-1].outcome in ("accepted", "repaired")
        )
    bought = [each for each in events if isinstance(each, SubmitOrder) and each.side is BUY]
    assert len(bought) == list(resolved.values()).count("entry")


def test_both_replays_hold_without_the_server(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", _no_network)
    assert verify(run).finished
    assert app.replay_engine(run) == (None, True)
    replay = app.replay_deliberations(run)
    assert replay and replay.difference is None and replay.requests >= CALLS


def _no_network(*_: object) -> None:
    raise AssertionError("a replay needs no network")
