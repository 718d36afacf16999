"""Deliberations are replayed from their record, request by request, without a model."""

import importlib
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import app
from autohedge.graph.replay import TRUSTED_CODES
from autohedge.journal import RunFolder
from tests.forged_record_factory import Lines, rewrite
from tests.graph.record_factory import (
    ANSWER,
    TIGHT,
    forging,
    hybrid,
    replayed,
    scripted,
    transcribed,
    with_message,
)

Forge = Callable[[RunFolder], RunFolder]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbids connections and name lookups, and removes the key."""

    def refuse(*args: object) -> None:
        pytest.fail(f"a replay went to the network: {args}")

    # Before: urllib3 binds a socket on the loopback when it is imported.
    importlib.import_module("langsmith.run_helpers")
    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("AUTOHEDGE_LLM_API_KEY", raising=False)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")


def test_every_rules_deliberation_is_replayed(by_rules: RunFolder, no_network: None) -> None:
    found, lines = app.replay_deliberations(by_rules), transcribed(by_rules)
    assert found and found.difference is None
    assert found.reread == len({line.deliberation for line in lines}) > 8
    assert found.requests == sum(line.request is not None for line in lines) > 8
    assert (found.taken_over, found.unanswered, found.ahead) == (0, 0, 0)


def test_fences_repairs_refusals_prose_and_failures_are_reparsed(
    by_script: RunFolder, no_network: None
) -> None:
    lines = transcribed(by_script)
    outcomes = {line.outcome for line in lines}
    assert {"accepted", "repaired", "refusal", "truncated", "no_json", "server_error"} <= outcomes
    assert {"wrong_symbol", "invalid", "prompt_cut"} <= outcomes
    assert {line.parse for line in lines} >= {"direct", "fenced", "after_think", "direct+number_as_string"}
    found = app.replay_deliberations(by_script)
    assert found and found.difference is None
    assert found.requests == sum(line.request is not None for line in lines)


def test_recorded_requests_contain_lessons_and_headlines(by_script: RunFolder) -> None:
    texts = [line.request.messages[1].content for line in transcribed(by_script) if line.request]
    assert any("Patience pays." in text for text in texts)
    assert any("BTC rises" in text for text in texts)
    assert Counter(line.agent for line in transcribed(by_script))["learning"] > 1


def test_the_engine_reproduces_the_same_run(by_script: RunFolder, no_network: None) -> None:
    assert app.replay_engine(by_script) == (None, True)


def test_request_blocked_by_budget_is_replayed_without_difference(workplace: Path) -> None:
    folder = scripted([ANSWER, "prose"], llm__max_calls=2)
    codes = [(line.call, line.outcome, line.tries) for line in transcribed(folder)]
    assert (1, "budget", 0) in codes and (0, "budget", 0) in codes
    assert replayed(folder) is None


def test_open_breaker_and_context_overflow_are_replayed(workplace: Path) -> None:
    broken = scripted([{"failure": "unreachable"}], llm__breaker_failures=2)
    assert {line.outcome for line in transcribed(broken)} == {"unreachable", "breaker_open"}
    assert replayed(broken) is None
    narrow = hybrid(llm__context_tokens=600)
    assert {line.outcome for line in transcribed(narrow)} == {"context_overflow"}
    assert replayed(narrow) is None


def test_outcomes_without_a_request_are_trusted_and_counted(workplace: Path) -> None:
    congested = {"llm__virtual_latency_s": 40, "llm__max_concurrent": 1, "llm__queue_size": 1}
    symbols = {"synthetic__symbols": '["BTC/USD", "ETH/USD", "SOL/USD"]'}
    folder = hybrid(**congested, **symbols, hybrid__deadline_s=60)
    unsent = [line.outcome for line in transcribed(folder) if line.request is None]
    assert set(unsent) & {"queue_full", "deadline"}
    found = app.replay_deliberations(folder)
    assert found and found.difference is None
    assert found.taken_over == sum(outcome in TRUSTED_CODES for outcome in unsent) > 0


def test_bypassed_question_is_recomputed_on_replay(workplace: Path) -> None:
    patient = TIGHT | {"exits__take_profit_bps": 300, "exits__stop_loss_bps": 300}
    full = {
        "risk__max_exposure_notional": 101,
        "sizing__max_order_amount": 101,
        "sizing__min_order_amount": 101,
    }
    folder = scripted([ANSWER], synthetic__hours=1, **patient, **full)
    unsent = [line.outcome for line in transcribed(folder) if line.request is None]
    assert "limits" in unsent
    found = app.replay_deliberations(folder)
    assert found and found.difference is None and found.taken_over == 0


def test_an_hft_run_has_no_second_replay(workplace: Path) -> None:
    assert app.replay_deliberations(hybrid(trading__mode='"hft"')) is None


def test_unfinished_run_is_replayed_as_far_as_its_journal_goes(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 2]))
    found, all_of_them = app.replay_deliberations(folder), app.replay_deliberations(by_rules)
    assert found and all_of_them and found.difference is None
    assert found.ahead > 0 and found.reread > 0
    assert found.ahead + found.reread == all_of_them.reread


def test_a_torn_last_line_of_an_unfinished_run_is_left_out(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(whole) if b'"type":"deliberation_requested"' in line)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: last + 1]))
    folder.transcript.write_bytes(folder.transcript.read_bytes()[:-10])
    found = app.replay_deliberations(folder)
    assert found and found.difference is None
    assert found.unanswered == 1


def test_undecided_question_is_rerendered_and_compared(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)

    def forget(lines: Lines) -> None:
        lines[:] = [line for line in lines if line.get("event", {}).get("type") != "decision"]

    rewrite(folder, forget)
    found = app.replay_deliberations(folder)
    assert found and found.difference is None and found.requests > 0
    with forging(folder, named=False) as lines:
        lines[3] = with_message(lines[3], 0, "!")
    difference = replayed(folder)
    assert difference and difference.deliberation == lines[3].deliberation
    assert difference.what == "request message 1 at character 1"
