"""With any fault of a model or its server the gate closes, entries stop, and exits work.

One test for each row of docs/fail-closed.md, end to end in virtual time.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from autohedge.app import engine_for
from autohedge.core.abstentions import ABSTENTIONS
from autohedge.core.events import Alert, DeliberationRequested, GateChanged, SubmitOrder
from autohedge.core.snapshots import PositionView, QuoteRow, Snapshot
from autohedge.graph.fast_path import bypass
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.runner import DeliberationResult, GraphRunner
from autohedge.graph.service import DeliberationService
from autohedge.llm.backend import LLMBackend, LLMRequest, LLMResponse, Usage
from autohedge.llm.backends.chaos import FAULTS, ChaosBackend
from autohedge.llm.backends.openai_compatible import OpenAICompatible
from autohedge.llm.backends.scripted import ScriptedBackend, ScriptLine
from autohedge.llm.client import LLMClient
from autohedge.llm.senders import ServerSender
from autohedge.runtime.replay import replay
from tests.graph.hybrid_harness import EAGER, END_S, SECOND_RISE_S, START_NS, Ran, answer, market, ran
from tests.llm.imitation_server import CLOSED, Imitation, Reply, completion, json_reply, llama_cpp
from tests.llm.request_factory import Stuck
from tests.llm.request_factory import make_response as response
from tests.run_harness import settings

pytestmark = pytest.mark.process

LATER_REFRESH: dict[str, Any] = {"hybrid__gate_refresh_quotes": 8}
Model = Callable[[], LLMBackend]


def _scripted(*answers: str | ScriptLine) -> Model:
    return lambda: ScriptedBackend(answers)


def _behind(server: Imitation, timeout_s: float = 5.0) -> Model:
    return lambda: OpenAICompatible(server.base_url, "m-1", timeout_s=timeout_s)


def _require_closed(run: Ran, code: str, *, after: tuple[str, ...] = ()) -> None:
    """Requires that all deliberations end in `code`, or earlier in one of `after`; a verdict has none."""
    assert run.codes == {code, *after}
    assert code in ABSTENTIONS
    assert ("closed", next(each for each in (*after, code) if each)) in run.gates
    assert run.deliberations.abstentions[code] > 0
    _buys_no_more(run)


def _buys_no_more(run: Ran) -> None:
    """Requires that the position was sold at its stop-loss, and the gate was closed in the second rise."""
    assert run.deliberations.gates == {"X": "closed"}
    assert [order.reason for order in run.events(SubmitOrder)] == ["entry", "stop_loss"]
    assert run.result.open_positions == {}
    assert run.result.codes["gate_closed"] > 3
    _recorded(run)


def _recorded(run: Ran) -> None:
    """Requires that each decision names its lines, the last one has its code, and the run replays."""
    lines = {line.hash: line for line in run.transcript}
    for decision in run.decisions:
        assert decision.calls and lines[decision.calls[-1]].outcome == (decision.code or "accepted")
    assert replay(engine_for(run.settings, run.tape), run.tape.rows, iter(run.record)) is None


def test_trade_verdict_without_faults_leaves_gate_open_and_buys(tmp_path: Path) -> None:
    run = ran(_scripted(answer()), tmp_path)
    assert len(run.bought(0, SECOND_RISE_S)) == 1
    assert len(run.bought(SECOND_RISE_S, END_S)) > 3
    assert run.deliberations.gates == {"X": "open"}
    _recorded(run)


def test_a_server_that_hangs_is_a_timeout(tmp_path: Path) -> None:
    with llama_cpp().hanging() as server:
        _require_closed(ran(_behind(server, 0.05), tmp_path), "timeout")


def test_a_server_that_drips_is_a_timeout(tmp_path: Path) -> None:
    body = json_reply(completion(answer())).body
    with llama_cpp().failing(Reply(body, dripping=True)) as server:
        _require_closed(ran(_behind(server, 0.05), tmp_path), "timeout")


def test_a_refused_connection_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        _require_closed(ran(lambda: OpenAICompatible(url, "m-1", timeout_s=5), tmp_path), "unreachable")


def _completed(text: str | None, finish_reason: str = "stop", **extra: Any) -> Reply:
    return json_reply(completion(text, finish_reason, None, **extra))


COUNTED_FEW = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
REPLIES = {
    "hung_up": (CLOSED, "unreachable"),
    "400": (json_reply({"error": {"message": "no such field"}}, 400), "bad_request"),
    "401": (json_reply({"error": {"message": "bad key"}}, 401), "unauthorized"),
    "404": (json_reply({"error": {"message": "model 'm-1' not found"}}, 404), "model_gone"),
    "429": (json_reply({"error": {"message": "slow down"}}, 429), "rate_limited"),
    "quota": (json_reply({"error": {"message": "spent", "code": "insufficient_quota"}}, 429), "quota"),
    "429_in_200": (json_reply({"error": {"message": "upstream failed", "code": 429}}), "rate_limited"),
    "unloaded": (json_reply({"error": "Model is unloaded."}), "model_gone"),
    "500": (json_reply({"error": {"message": "out of memory"}}, 500), "server_error"),
    "too_long": (json_reply({"error": {"message": "prompt is too long"}}, 400), "context_overflow"),
    "html": (Reply(b"<html>captive portal</html>"), "garbage_reply"),
    "truncated": (_completed(answer()[:40], "length"), "truncated"),
    "refusal": (_completed(None, refusal="I cannot advise."), "refusal"),
    "empty": (_completed(""), "empty"),
    "prose": (_completed("I would buy."), "no_json"),
    "bad_json": (_completed('{"decision": "trade", '), "no_json"),
    "withdrawn": (_completed(f"{answer()}\nWait. Do not trade this."), "no_json"),
    "two_objects": (_completed(f"Draft: {answer()}\n{answer(decision='no_trade')}"), "no_json"),
    "list": (_completed(f"[{answer()}]"), "no_json"),
    "thoughts": (_completed(f"<think>Perhaps {answer()} but"), "no_json"),
    "endless": (_completed(answer(thesis="x" * 1_000_000)), "no_json"),
    "out_of_range": (_completed(answer(confidence_pct=101)), "invalid"),
    "wrong_type": (_completed(answer(confidence_pct=True)), "invalid"),
    "wrong_word": (_completed(answer(decision="buy")), "invalid"),
    "wrong_symbol": (_completed(answer(symbol="Y")), "wrong_symbol"),
    "prompt_cut": (json_reply(completion(answer(), usage=COUNTED_FEW)), "prompt_cut"),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_unusable_reply_closes_gate(reply: str, tmp_path: Path) -> None:
    sent, code = REPLIES[reply]
    with llama_cpp().failing(sent) as server:
        _require_closed(ran(_behind(server), tmp_path), code)


def test_a_wait_that_would_last_beyond_the_deadline_is_not_begun(tmp_path: Path) -> None:
    with llama_cpp().failing(json_reply({"error": "slow down"}, 429, Retry_After="30")) as server:
        run = ran(_behind(server), tmp_path, llm__retries=3, hybrid__deadline_s=20)
        _require_closed(run, "rate_limited")
        assert {line.tries for line in run.transcript if line.request} == {1}


def test_a_retry_that_helps_is_no_abstention(tmp_path: Path) -> None:
    run = ran(_scripted(ScriptLine(failure="server_error"), answer()), tmp_path, llm__retries=1)
    assert {decision.verdict for decision in run.decisions} == {"trade"}
    assert len(run.bought(SECOND_RISE_S, END_S)) > 3


def test_model_gone_mid_run_closes_gate_it_opened(tmp_path: Path) -> None:
    gone = json_reply({"error": {"message": "model 'm-1' not found"}}, 404)
    replies = iter([_completed(answer())])
    with llama_cpp() as server:
        server.pages["/v1/chat/completions"] = lambda _: next(replies, gone)
        _require_closed(ran(_behind(server), tmp_path), "model_gone", after=("",))


def test_short_verdict_closes_gate(tmp_path: Path) -> None:
    run = ran(_scripted(answer(direction="short")), tmp_path)
    assert run.gates == [("closed", "direction short")]
    assert {decision.verdict for decision in run.decisions} == {"trade"}
    _buys_no_more(run)


def test_a_verdict_that_is_too_old_when_it_comes_is_stale(tmp_path: Path) -> None:
    run = ran(_scripted(answer()), tmp_path, hybrid__verdict_ttl_s=1)
    assert run.gates == [("closed", "stale")]
    assert run.deliberations.abstentions == {"stale": len(run.decisions)}
    _buys_no_more(run)


def test_answer_after_deadline_is_late_and_counts_as_timeout(tmp_path: Path) -> None:
    run = ran(_scripted(answer()), tmp_path, hybrid__deadline_s=3, llm__virtual_latency_s=6)
    assert run.gates == [("closed", "timeout")]
    assert {decision.verdict for decision in run.decisions} == {"trade"}
    assert run.deliberations.late == len(run.decisions)
    assert set(run.deliberations.abstentions) == {"timeout"}
    _buys_no_more(run)


def test_a_model_that_is_busy_beyond_the_deadline_is_not_waited_for(tmp_path: Path) -> None:
    busy: dict[str, Any] = {"hybrid__deadline_s": 3, "llm__virtual_latency_s": 30, "llm__max_concurrent": 1}
    run = ran(_scripted(answer()), tmp_path, **busy)
    assert run.gates == [("closed", "timeout")]
    assert "deadline" in run.codes
    assert set(run.deliberations.abstentions) == {"timeout"}
    _buys_no_more(run)


def test_a_deadline_ends_a_call_that_is_under_way(tmp_path: Path) -> None:
    with llama_cpp().hanging() as server:
        run = ran(
            _behind(server), tmp_path, hybrid__deadline_s=0.1, llm__virtual_latency_s=0.05, **LATER_REFRESH
        )
    _require_closed(run, "deadline")


def test_call_budget_spent_closes_gate(tmp_path: Path) -> None:
    run = ran(_scripted(answer()), tmp_path, llm__max_calls=1)
    _require_closed(run, "budget", after=("",))
    assert run.counts["calls"] == 1


def test_token_budget_too_small_closes_gate_without_a_call(tmp_path: Path) -> None:
    run = ran(_scripted(answer()), tmp_path, llm__max_tokens=100, **LATER_REFRESH)
    _require_closed(run, "budget")
    assert run.counts["calls"] == 0


def test_cost_budget_spent_closes_gate_and_alerts_once(tmp_path: Path) -> None:
    counted = ScriptLine(answer(), usage=Usage(10_000, 100))
    prices: dict[str, Any] = {"llm__model": '"m"', "models__m__price_in": 1, "models__m__price_out": 10}
    run = ran(_scripted(counted), tmp_path, llm__max_cost_usd="0.012", **prices)
    _require_closed(run, "budget", after=("",))
    (alert,) = run.events(Alert)
    assert (alert.code, alert.text) == ("budget", ABSTENTIONS["budget"].text)
    spend = run.deliberations.llm
    assert spend and spend.cost_usd == Decimal("0.011") and run.counts["calls"] == 1


def test_repeated_server_errors_open_breaker_and_close_gate(tmp_path: Path) -> None:
    run = ran(_scripted(ScriptLine(failure="server_error")), tmp_path, llm__breaker_failures=2)
    _require_closed(run, "breaker_open", after=("server_error",))
    assert run.counts["calls"] == 2


def test_a_prompt_that_does_not_fit_is_not_sent(tmp_path: Path) -> None:
    with llama_cpp() as server:
        run = ran(_behind(server), tmp_path, llm__context_tokens=512, **LATER_REFRESH)
        assert server.received == []
    _require_closed(run, "context_overflow")


def test_full_queue_closes_gate_of_symbol_left_out(tmp_path: Path) -> None:
    names = ("A", "B", "C")
    tight: dict[str, Any] = {"llm__queue_size": 1, "llm__max_concurrent": 1}
    run = ran(lambda: ScriptedBackend(_about_it), tmp_path, market(names), **tight, **LATER_REFRESH)
    assert {decision.symbol for decision in run.decisions if decision.code == "queue_full"} == {"C"}
    assert ("closed", "queue_full") in run.gates
    opened = [e.at_ns for e in run.events(GateChanged) if (e.symbol, e.state) == ("C", "open")]
    rising = [o for o in run.bought(SECOND_RISE_S) if not opened or o.at_ns < min(opened)]
    assert {order.symbol for order in rising} == {"A", "B"}
    sold = [order.reason for order in run.events(SubmitOrder) if order.symbol == "C"][1]
    assert sold == "stop_loss"
    _recorded(run)


def _about_it(request: LLMRequest) -> str:
    return answer(symbol=request.symbol)


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """A snapshot that a model was asked about."""
    run = ran(_scripted(answer()), tmp_path)
    return next(line.snapshot for line in run.transcript if line.snapshot)


class Waiting:
    """A service whose only slot is taken; in virtual time requests would never wait for each other."""

    def __init__(self, snapshot: Snapshot) -> None:
        wanted = settings(**EAGER, llm__max_concurrent=1)
        self.model = Stuck(response(answer()), response(answer()))
        client = LLMClient(ServerSender(self.model, wanted.llm), wanted.llm)
        builder = PromptBuilder.of(PromptFiles.of(wanted), wanted.tools, wanted.agents)
        self.service = DeliberationService(GraphRunner(client, builder))
        self._snapshot = snapshot

    def ask(self, number: int) -> "asyncio.Future[DeliberationResult]":
        question = DeliberationRequested(self._snapshot.at_ns, number, "gate", "X", f"{number}")
        return asyncio.ensure_future(self.service.deliberate(question, self._snapshot, ()))


def test_a_question_that_a_newer_one_replaced_is_superseded(snapshot: Snapshot) -> None:
    async def three() -> list[str]:
        waiting = Waiting(snapshot)
        first, second, third = (waiting.ask(number) for number in (1, 2, 3))
        superseded = await second
        waiting.model.free.set()
        return [(await each).outcome for each in (first, third)] + [superseded.outcome]

    assert asyncio.run(three()) == ["trade", "trade", "superseded"]


def test_a_question_that_waits_at_the_end_is_cancelled(snapshot: Snapshot) -> None:
    async def two() -> list[str]:
        waiting = Waiting(snapshot)
        first, second = waiting.ask(1), waiting.ask(2)
        await waiting.model.requested.wait()
        while not waiting.service.counts()["high_water"]:
            await asyncio.wait({second}, timeout=0.01)
        await waiting.service.close()
        cancelled = await second
        waiting.model.free.set()
        return [(await first).outcome, cancelled.outcome]

    assert asyncio.run(two()) == ["trade", "cancelled"]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("halted", {"state": "halted"}),
        ("no_history", {"quotes": ()}),
        ("stale_data", {"at_ns": 2 * START_NS}),
    ],
)
def test_untradable_snapshot_abstains_without_a_request(code: str, changes: Any, snapshot: Snapshot) -> None:
    waiting = Waiting(msgspec.structs.replace(snapshot, **changes))

    async def ask_once() -> DeliberationResult:
        return await waiting.ask(1)

    result = asyncio.run(ask_once())
    assert (result.verdict, result.code, result.source) == ("abstain", code, "bypass")
    assert waiting.model.requests == []


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("limits", {"buying_power": Decimal(1)}),
        ("no_edge", {"quotes": tuple(QuoteRow(START_NS + n, 99.0, 1.0, 101.0, 1.0) for n in range(9))}),
    ],
)
def test_limits_or_no_edge_leaves_gate_unchanged_without_a_request(
    code: str, changes: Any, snapshot: Snapshot
) -> None:
    waiting = Waiting(msgspec.structs.replace(snapshot, **changes))

    async def ask_once() -> DeliberationResult:
        return await waiting.ask(1)

    result = asyncio.run(ask_once())
    assert (result.verdict, result.code, result.source) == ("keep", code, "bypass")
    assert waiting.model.requests == []


def test_trade_question_with_held_position_is_not_bypassed_by_limits(snapshot: Snapshot) -> None:
    poor = msgspec.structs.replace(snapshot, kind="trade", buying_power=Decimal(1))
    held = msgspec.structs.replace(poor, position=PositionView(Decimal(1), 100.0, 101.0, 99.0))
    assert (bypass(poor), bypass(held)) == (("keep", "limits"), None)
    assert bypass(msgspec.structs.replace(held, kind="gate")) == ("keep", "limits")
    assert bypass(msgspec.structs.replace(held, state="halted")) == ("close", "halted")


def test_failing_graph_node_closes_gate(tmp_path: Path) -> None:
    def without_prompts(builder: PromptBuilder) -> PromptBuilder:
        return replace(builder, prompts={})

    run = ran(_scripted(answer()), tmp_path, change_builder=without_prompts, **LATER_REFRESH)
    _require_closed(run, "node_error")
    assert {line.failure for line in run.transcript if line.outcome == "node_error"} == {
        "KeyError: 'director'"
    }


def test_failing_graph_abstains_with_graph_error() -> None:
    wanted = settings(**EAGER)
    runner = GraphRunner(
        LLMClient(ServerSender(ScriptedBackend([answer()]), wanted.llm), wanted.llm),
        PromptBuilder.of(PromptFiles.of(wanted), wanted.tools, wanted.agents),
    )
    result = asyncio.run(runner.run(cast("Snapshot", None), ()))
    assert (result.verdict, result.code) == ("abstain", "graph_error")
    assert "AttributeError" in result.failure


class Wild:
    """A backend that raises other exceptions than LLMError."""

    name = model = server = "wild"

    async def complete(self, request: LLMRequest) -> LLMResponse:
        raise ZeroDivisionError

    async def close(self) -> None:
        """Does nothing."""


def test_backend_exception_closes_gate(tmp_path: Path) -> None:
    _require_closed(ran(Wild, tmp_path), "backend_error")


@pytest.mark.parametrize("fault", FAULTS)
def test_chaos_fault_is_tolerated_or_closes_gate(fault: str, tmp_path: Path) -> None:
    run = ran(lambda: ChaosBackend(ScriptedBackend([answer()]), "n", share=1.0, faults=[fault]), tmp_path)
    if fault in {"fenced", "thinking"}:
        assert run.deliberations.abstentions == {}
    else:
        (code,) = run.codes
        _require_closed(run, code)
