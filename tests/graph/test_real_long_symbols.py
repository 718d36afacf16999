"""Long symbols with a real model and server on recorded tapes: what is accepted, and why the rest is refused."""

from collections import Counter
from pathlib import Path

import pytest

from autohedge import app
from autohedge.core.abstentions import ABSTENTIONS
from autohedge.journal import RunFolder, verify
from autohedge.llm.outcome import ACCEPTED, REPAIRED
from autohedge.llm.transcript import TranscriptEntry
from autohedge.llm.transcript import read as transcribed
from autohedge.market import TapeSource
from tests.graph.record_factory import on_tapes

pytestmark = pytest.mark.model

CALLS = {"hybrid": 12, "llm": 10}
LEAST_ACCEPTED = 0.9
SYMBOLS = ("BTC-USD-PERP", "ETH-USD-PERP")
GOOD = {ACCEPTED, REPAIRED}
COMMON = [
    "llm.provider=openai",
    "llm.timeout_s=180",
    "llm.retries=0",
    "llm.virtual_latency_s=30",  # both symbols then ask at the same time, one in each slot of the server
    "tools.table_rows=4",
    "hybrid.deadline_s=900",
    "hybrid.learn_every_trades=0",
    "hybrid.cache_verdicts=false",
    "agents.director.min_confidence_pct=0",
    "agents.director.temperature=0",  # the share that is accepted then depends on the schema, not on chance
]
BY_MODE = {
    "hybrid": ["hybrid.gate_refresh_quotes=600", "hybrid.no_trade_cooldown_quotes=0"],
    "llm": ["llm.min_interval_s=60"],
}


@pytest.fixture(scope="module", params=BY_MODE)
def run(
    request: pytest.FixtureRequest, shared: Path, real_model: str, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """A run in each mode on two recorded tapes, with as many answers of the model as the budget allows."""
    mode: str = request.param
    sources = [
        TapeSource(shared / f"data/hyperliquid/{symbol}_20250904_quotes.parquet", symbol)
        for symbol in SYMBOLS
    ]
    overrides = [f"trading.mode={mode}", f"llm.max_calls={CALLS[mode]}", *COMMON, *BY_MODE[mode]]
    return on_tapes(sources, real_model, tmp_path_factory.mktemp(mode), overrides, [])


def _calls(run: RunFolder, agent: str = "") -> list[TranscriptEntry]:
    """Returns the calls that were sent to the model, or those of one agent."""
    return [line for line in transcribed(run.transcript) if line.tries and agent in ("", line.agent)]


def _mode(run: RunFolder) -> str:
    return str((run.read_results() or {})["mode"])


def _accepted(calls: list[TranscriptEntry]) -> float:
    return sum(call.outcome in GOOD for call in calls) / len(calls)


def test_long_symbols_are_answered_and_most_verdicts_accepted(run: RunFolder) -> None:
    calls, verdicts = _calls(run), _calls(run, "director")
    assert len(calls) == CALLS[_mode(run)]
    assert {call.symbol for call in calls} == set(SYMBOLS)
    assert _accepted(verdicts) >= LEAST_ACCEPTED, Counter(call.outcome for call in verdicts)
    assert "wrong_symbol" not in {call.outcome for call in calls}


def test_every_refused_answer_has_a_code_and_a_text(run: RunFolder) -> None:
    for call in _calls(run):
        assert call.outcome in GOOD or (call.outcome in ABSTENTIONS and call.failure), call


def test_both_replays_of_long_symbols_hold(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", _no_network)
    assert verify(run).finished
    assert app.replay_engine(run) == (None, True)
    replay = app.replay_deliberations(run)
    assert replay and replay.difference is None and replay.requests >= CALLS[_mode(run)]


def _no_network(*_: object) -> None:
    raise AssertionError("a replay needs no network")
