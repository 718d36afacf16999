"""Each word of each agent visibly changes the order, or prevents it, from prompt to venue."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.abstentions import ABSTENTIONS, REFUSALS
from autohedge.core.events import SubmitOrder
from autohedge.engine.replay import replay
from autohedge.llm.scripted import Line
from autohedge.tools.headlines import Headline, Headlines
from tests.graph.hybrid import START_NS, Ran
from tests.graph.team import ANSWERS, Overheard, disposed, entries, ran, team

FULL = Decimal("0.999")  # 100 of money at an ask of 100.01, in lots of 0.001
MID = 100.0


def _replays(run: Ran) -> None:
    assert replay(engine_for(run.settings, run.tape), run.tape.rows, iter(run.record)) is None


def _first(run: Ran) -> SubmitOrder:
    _replays(run)
    return entries(run)[0]


def test_when_all_agree_it_buys_what_sizing_allows_and_sells_at_the_proposals_exits(tmp_path: Path) -> None:
    run = ran(team(), tmp_path)
    order = _first(run)
    assert (order.quantity, order.limit, order.time_in_force) == (FULL, Decimal("100.01"), "ioc")
    reasons = [each.reason for each in run.events(SubmitOrder)]
    assert reasons[:4] == ["entry", "stop_loss", "entry", "take_profit"]
    assert disposed(run)[0] == "entry" and len(entries(run)) >= 3
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
def test_an_agent_that_says_no_prevents_the_order(case: str, tmp_path: Path) -> None:
    words, code = REFUSED[case]
    run = ran(team(**words), tmp_path)
    _replays(run)
    assert run.events(SubmitOrder) == []
    assert code in REFUSALS and code not in ABSTENTIONS
    assert set(disposed(run)) == {code}
    assert run.slow["disposed"][code] == len(run.decisions) > 2
    assert run.slow["abstentions"] == {}


def test_nobody_is_asked_after_a_no(tmp_path: Path) -> None:
    heard = Overheard(team(quant={"thesis": "refuted"})())
    ran(lambda: heard, tmp_path)
    assert {request.agent for request in heard.requests} == {"director", "quant"}


def test_while_it_is_held_a_wish_to_buy_asks_the_director_alone(tmp_path: Path) -> None:
    heard = Overheard(team()())
    run = ran(lambda: heard, tmp_path, llm__min_interval_s=1)
    assert "in_position" in disposed(run)
    assert len(heard.of("director")) > len(heard.of("quant")) == len(heard.of("execution"))


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
    assert set(disposed(run)) == {"min_notional"} and run.events(SubmitOrder) == []


@pytest.mark.parametrize(("take_profit_bps", "stop_loss_bps"), [(60, 20), (400, 50)])
def test_risks_exits_are_the_orders(take_profit_bps: int, stop_loss_bps: int, tmp_path: Path) -> None:
    exits = {"take_profit_bps": take_profit_bps, "stop_loss_bps": stop_loss_bps}
    order = _first(ran(team(risk=exits), tmp_path))
    assert order.take_profit == pytest.approx(MID * (1 + take_profit_bps / 1e4))
    assert order.stop_loss == pytest.approx(MID * (1 - stop_loss_bps / 1e4))


def test_executions_offset_and_time_in_force_are_the_orders(tmp_path: Path) -> None:
    rests = {"order_type": "limit", "offset_bps": 10, "time_in_force": "gtc"}
    order = _first(ran(team(execution=rests), tmp_path))
    assert (order.limit, order.time_in_force) == (Decimal("99.90"), "gtc")
    assert order.quantity == FULL


def test_an_offset_at_market_counts_for_nothing(tmp_path: Path) -> None:
    order = _first(ran(team(execution={"order_type": "market", "offset_bps": 900}), tmp_path))
    assert order.limit == Decimal("100.01")


def test_the_directors_exit_sells_what_is_held(tmp_path: Path) -> None:
    turns: list[Any] = [{}, {"direction": "exit"}, {"decision": "no_trade"}]
    run = ran(team(director=turns), tmp_path, llm__min_interval_s=4)
    assert [order.reason for order in run.events(SubmitOrder)][:2] == ["entry", "exit_signal"]
    assert disposed(run)[:2] == ["entry", "exit_signal"]


def test_a_lesson_stands_in_a_later_prompt_of_every_agent_that_shows_lessons(tmp_path: Path) -> None:
    heard = Overheard(team(learning={"lesson": "Never on a Friday."})())
    ran(lambda: heard, tmp_path, hybrid__learn_every_trades=1, agents__director__samples=1)
    shows = {
        agent
        for agent in ANSWERS
        if any("Never on a Friday." in each.messages[1].content for each in heard.of(agent))
    }
    templates = {
        agent for agent in ANSWERS if "{lessons}" in Path(f"{PROMPTS}/{agent}.md").read_text(encoding="utf-8")
    }
    assert shows == templates >= {"director", "risk"}
    assert "Never on a Friday." not in heard.requests[0].messages[1].content


PROMPTS = Path(__file__).parents[2] / "autohedge" / "prompts"


def test_the_least_confidence_is_a_setting(tmp_path: Path) -> None:
    sure = ran(team(director={"confidence_pct": 30}), tmp_path, agents__director__min_confidence_pct=30)
    assert disposed(sure)[0] == "entry"


def test_an_invented_figure_lowers_the_confidence_by_its_share_and_is_in_the_decision(tmp_path: Path) -> None:
    thesis = "From 99.99 to 100.01, volume 777777."
    run = ran(team(director={"confidence_pct": 90, "thesis": thesis}), tmp_path)
    decision = run.decisions[0]
    assert (decision.confidence_pct, decision.unsupported) == (60, ("777777",))
    assert disposed(run)[0] == "entry"


def test_a_figure_of_a_headline_is_one_that_was_shown(tmp_path: Path) -> None:
    news = Headlines((Headline(START_NS - 1, "A fund sells 777777 coins"),), 0)
    said = team(director={"confidence_pct": 90, "thesis": "A fund sells 777777."})
    told = ran(said, tmp_path, materials=lambda each: replace(each, headlines=news)).decisions[0]
    assert (told.confidence_pct, told.unsupported) == (90, ())


def test_a_figure_that_is_invented_twice_counts_twice(tmp_path: Path) -> None:
    thesis = "Volume 777777, at 99.99, and again 777777."
    run = ran(team(director={"confidence_pct": 90, "thesis": thesis}), tmp_path)
    decision = run.decisions[0]
    assert (decision.confidence_pct, decision.unsupported) == (30, ("777777",))
    assert set(disposed(run)) == {"low_confidence"}


def test_the_quant_is_told_which_figures_nothing_bears_out(tmp_path: Path) -> None:
    heard = Overheard(team(director={"thesis": "At 99.0, volume 777777, from 101.5."})())
    ran(lambda: heard, tmp_path)
    assert "figures in it that are not in the data: 777777" in heard.of("quant")[0].messages[1].content


SPLIT: list[Any] = [{}, {"decision": "no_trade"}]


def test_samples_that_disagree_are_no_agreement(tmp_path: Path) -> None:
    run = ran(team(director=SPLIT), tmp_path, agents__director__samples=2)
    assert run.codes == set(disposed(run)) == {"no_agreement"}
    assert {decision.agreement_pct for decision in run.decisions} == {50}
    assert run.events(SubmitOrder) == []
    _replays(run)


def test_a_majority_of_samples_buys_with_the_confidence_of_the_least_sure(tmp_path: Path) -> None:
    turns: list[Any] = [{"confidence_pct": 95}, {"decision": "no_trade"}, {"confidence_pct": 70}]
    run = ran(team(director=turns), tmp_path, agents__director__samples=3)
    decision = run.decisions[0]
    assert (decision.agreement_pct, decision.confidence_pct) == (66, 70)
    assert disposed(run)[0] == "entry"


@pytest.mark.parametrize("agent", ANSWERS)
def test_an_agents_own_model_temperature_and_time_reach_its_requests_alone(
    agent: str, tmp_path: Path
) -> None:
    heard = Overheard(team()())
    own: dict[str, Any] = {"model": '"big"', "temperature": 0.75, "timeout_s": 7}
    changes = {f"agents__{agent}__{key}": value for key, value in own.items()}
    ran(lambda: heard, tmp_path, hybrid__learn_every_trades=1, **changes)
    for request in heard.requests:
        is_it = request.agent == agent
        given = (request.model, request.temperature, request.timeout_s)
        assert (given == ("big", 0.75, 7.0)) is is_it
    assert heard.of(agent)


def test_a_failure_in_one_agents_line_is_that_agents(tmp_path: Path) -> None:
    run = ran(team(risk=[Line(failure="server_error", agent="risk")]), tmp_path)
    assert run.codes == set(disposed(run)) == {"server_error"}
