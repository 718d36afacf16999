"""Each field of each agent's answer changes the order or prevents it, from prompt to venue."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.abstentions import ABSTENTIONS, REFUSALS
from autohedge.core.events import SubmitOrder
from autohedge.llm.backends.scripted import ScriptLine
from autohedge.runtime.replay import replay
from autohedge.tools.headlines import Headline, Headlines
from tests.graph.hybrid_harness import START_NS, Ran
from tests.graph.team_harness import ANSWERS, RecordingBackend, entries, ran, resolved_codes, team

FULL = Decimal("0.999")  # a notional of 100 at an ask of 100.01, in lots of 0.001
MID = 100.0


def _replays(run: Ran) -> None:
    assert replay(engine_for(run.settings, run.tape), run.tape.rows, iter(run.record)) is None


def _first(run: Ran) -> SubmitOrder:
    _replays(run)
    return entries(run)[0]


def test_unanimous_team_buys_full_size_and_exits_at_proposed_levels(tmp_path: Path) -> None:
    run = ran(team(), tmp_path)
    order = _first(run)
    assert (order.quantity, order.limit, order.time_in_force) == (FULL, Decimal("100.01"), "ioc")
    reasons = [each.reason for each in run.events(SubmitOrder)]
    assert reasons[:4] == ["entry", "stop_loss", "entry", "take_profit"]
    assert resolved_codes(run)[0] == "entry" and len(entries(run)) >= 3
    assert [line.agent for line in run.transcript if line.request][:4] == [
        "director",
        "quant",
        "risk",
        "execution",
    ]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no_trade": ({"director": {"decision": "no_trade"}}, "no_trade"),
    "unsure": ({"director": {"confidence_pct": 49}}, "low_confidence"),
    "refuted": ({"quant": {"thesis": "refuted"}}, "refuted"),
    "volatility": ({"quant": {"volatility": "fail"}}, "too_volatile"),
    "nothing_certain": ({"quant": {"thesis": "uncertain", "technical_score_pct": 0}}, "no_size"),
    "reject": ({"risk": {"decision": "reject"}}, "rejected"),
    "no_size": ({"risk": {"size_pct": 0}}, "rejected"),
    "short": ({"director": {"direction": "short"}}, "no_short"),
    "exit_of_nothing": ({"director": {"direction": "exit"}}, "nothing_held"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_agent_refusal_prevents_the_order(case: str, tmp_path: Path) -> None:
    changes, code = REFUSED[case]
    run = ran(team(**changes), tmp_path)
    _replays(run)
    assert run.events(SubmitOrder) == []
    assert code in REFUSALS and code not in ABSTENTIONS
    assert set(resolved_codes(run)) == {code}
    assert (run.deliberations.proposals or {})[code] == len(run.decisions) > 2
    assert run.deliberations.abstentions == {}


def test_quant_refusal_stops_requests_to_later_agents(tmp_path: Path) -> None:
    backend = RecordingBackend(team(quant={"thesis": "refuted"})())
    ran(lambda: backend, tmp_path)
    assert {request.agent for request in backend.requests} == {"director", "quant"}


def test_buy_signal_while_holding_asks_director_only(tmp_path: Path) -> None:
    backend = RecordingBackend(team()())
    run = ran(lambda: backend, tmp_path, llm__min_interval_s=1)
    assert "in_position" in resolved_codes(run)
    assert len(backend.of("director")) > len(backend.of("quant")) == len(backend.of("execution"))


@pytest.mark.parametrize("score_pct", [40, 7])
def test_an_uncertain_thesis_buys_at_most_the_share_of_its_technical_score(
    score_pct: int, tmp_path: Path
) -> None:
    unsure = {"thesis": "uncertain", "technical_score_pct": score_pct}
    small = {"sizing__min_order_amount": 1}
    order = _first(ran(team(quant=unsure), tmp_path, **small))
    assert order.quantity == {40: Decimal("0.399"), 7: Decimal("0.069")}[score_pct]


def test_the_smaller_of_the_technical_score_and_risks_size_counts(tmp_path: Path) -> None:
    unsure = {"thesis": "uncertain", "technical_score_pct": 80}
    assert _first(ran(team(quant=unsure, risk={"size_pct": 50}), tmp_path)).quantity == Decimal("0.499")


def test_half_of_risks_size_is_half_of_the_quantity(tmp_path: Path) -> None:
    assert _first(ran(team(risk={"size_pct": 50}), tmp_path)).quantity == Decimal("0.499")


def test_a_size_below_the_least_order_is_no_order(tmp_path: Path) -> None:
    run = ran(team(risk={"size_pct": 9}), tmp_path)
    assert set(resolved_codes(run)) == {"min_notional"} and run.events(SubmitOrder) == []


@pytest.mark.parametrize(("take_profit_bps", "stop_loss_bps"), [(60, 20), (400, 50)])
def test_order_takes_exits_of_risk_agent(take_profit_bps: int, stop_loss_bps: int, tmp_path: Path) -> None:
    exits = {"take_profit_bps": take_profit_bps, "stop_loss_bps": stop_loss_bps}
    order = _first(ran(team(risk=exits), tmp_path))
    assert order.take_profit == pytest.approx(MID * (1 + take_profit_bps / 1e4))
    assert order.stop_loss == pytest.approx(MID * (1 - stop_loss_bps / 1e4))


def test_order_takes_offset_and_time_in_force_of_execution_agent(tmp_path: Path) -> None:
    rests = {"order_type": "limit", "offset_bps": 10, "time_in_force": "gtc"}
    order = _first(ran(team(execution=rests), tmp_path))
    assert (order.limit, order.time_in_force) == (Decimal("99.90"), "gtc")
    assert order.quantity == FULL


def test_offset_of_market_order_is_ignored(tmp_path: Path) -> None:
    order = _first(ran(team(execution={"order_type": "market", "offset_bps": 900}), tmp_path))
    assert order.limit == Decimal("100.01")


def test_the_directors_exit_sells_what_is_held(tmp_path: Path) -> None:
    turns: list[Any] = [{}, {"direction": "exit"}, {"decision": "no_trade"}]
    run = ran(team(director=turns), tmp_path, llm__min_interval_s=4)
    assert [order.reason for order in run.events(SubmitOrder)][:2] == ["entry", "exit_signal"]
    assert resolved_codes(run)[:2] == ["entry", "exit_signal"]


def test_lesson_appears_in_later_prompt_of_every_agent_with_lessons(tmp_path: Path) -> None:
    backend = RecordingBackend(team(learning={"lesson": "Never on a Friday."})())
    ran(lambda: backend, tmp_path, hybrid__learn_every_trades=1, agents__director__samples=1)
    shows = {
        agent
        for agent in ANSWERS
        if any("Never on a Friday." in each.messages[1].content for each in backend.of(agent))
    }
    templates = {
        agent for agent in ANSWERS if "{lessons}" in Path(f"{PROMPTS}/{agent}.md").read_text(encoding="utf-8")
    }
    assert shows == templates >= {"director", "risk"}
    assert "Never on a Friday." not in backend.requests[0].messages[1].content


PROMPTS = Path(__file__).parents[2] / "autohedge" / "prompts"


def test_the_least_confidence_is_a_setting(tmp_path: Path) -> None:
    sure = ran(team(director={"confidence_pct": 30}), tmp_path, agents__director__min_confidence_pct=30)
    assert resolved_codes(sure)[0] == "entry"


def test_unsupported_figure_lowers_confidence_by_share_and_is_listed(tmp_path: Path) -> None:
    thesis = "From 99.99 to 100.01, volume 777777."
    run = ran(team(director={"confidence_pct": 90, "thesis": thesis}), tmp_path)
    decision = run.decisions[0]
    assert (decision.confidence_pct, decision.unsupported) == (60, ("777777",))
    assert resolved_codes(run)[0] == "entry"


def test_far_key_level_is_marked_and_leaves_confidence_as_it_is(tmp_path: Path) -> None:
    levels = [0.5, 99.0, 0.5, 2000]
    backend = RecordingBackend(team(director={"confidence_pct": 90, "key_levels": levels})())
    run = ran(lambda: backend, tmp_path)
    decision = run.decisions[0]
    assert (decision.confidence_pct, decision.unsupported) == (90, ("key level 0.5", "key level 2000"))
    assert resolved_codes(run)[0] == "entry"
    assert "not in the data" not in backend.of("quant")[0].messages[1].content
    _replays(run)


def test_figure_from_headline_counts_as_supported(tmp_path: Path) -> None:
    news = Headlines((Headline(START_NS - 1, "A fund sells 777777 coins"),), 0)
    model = team(director={"confidence_pct": 90, "thesis": "A fund sells 777777."})
    decision = ran(model, tmp_path, change_builder=lambda each: replace(each, headlines=news)).decisions[0]
    assert (decision.confidence_pct, decision.unsupported) == (90, ())


def test_a_figure_that_is_invented_twice_counts_twice(tmp_path: Path) -> None:
    thesis = "Volume 777777, at 99.99, and again 777777."
    run = ran(team(director={"confidence_pct": 90, "thesis": thesis}), tmp_path)
    decision = run.decisions[0]
    assert (decision.confidence_pct, decision.unsupported) == (30, ("777777",))
    assert set(resolved_codes(run)) == {"low_confidence"}


def test_quant_prompt_lists_unsupported_figures(tmp_path: Path) -> None:
    backend = RecordingBackend(team(director={"thesis": "At 99.0, volume 777777, from 101.5."})())
    ran(lambda: backend, tmp_path)
    assert "figures in it that are not in the data: 777777" in backend.of("quant")[0].messages[1].content


SPLIT: list[Any] = [{}, {"decision": "no_trade"}]


def test_samples_that_disagree_are_no_agreement(tmp_path: Path) -> None:
    run = ran(team(director=SPLIT), tmp_path, agents__director__samples=2)
    assert run.codes == set(resolved_codes(run)) == {"no_agreement"}
    assert {decision.agreement_pct for decision in run.decisions} == {50}
    assert run.events(SubmitOrder) == []
    _replays(run)


def test_a_majority_of_samples_buys_with_the_confidence_of_the_least_sure(tmp_path: Path) -> None:
    turns: list[Any] = [{"confidence_pct": 95}, {"decision": "no_trade"}, {"confidence_pct": 70}]
    run = ran(team(director=turns), tmp_path, agents__director__samples=3)
    decision = run.decisions[0]
    assert (decision.agreement_pct, decision.confidence_pct) == (66, 70)
    assert resolved_codes(run)[0] == "entry"


@pytest.mark.parametrize("agent", ANSWERS)
def test_agent_model_temperature_and_timeout_apply_to_its_requests_only(agent: str, tmp_path: Path) -> None:
    backend = RecordingBackend(team()())
    own: dict[str, Any] = {"model": '"big"', "temperature": 0.75, "timeout_s": 7}
    changes = {f"agents__{agent}__{key}": value for key, value in own.items()}
    ran(lambda: backend, tmp_path, hybrid__learn_every_trades=1, **changes)
    for request in backend.requests:
        is_it = request.agent == agent
        given = (request.model, request.temperature, request.timeout_s)
        assert (given == ("big", 0.75, 7.0)) is is_it
    assert backend.of(agent)


def test_server_error_of_risk_agent_ends_every_deliberation(tmp_path: Path) -> None:
    run = ran(team(risk=[ScriptLine(failure="server_error", agent="risk")]), tmp_path)
    assert run.codes == set(resolved_codes(run)) == {"server_error"}
