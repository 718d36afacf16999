"""Tests that the totals of a run agree with its record and state each figure once."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

from autohedge.audit import AuditFilter, audit
from autohedge.audit.agent_outcomes import (
    AGENT_ORDER,
    AgentOutcome,
    agent_outcomes,
    outcomes_label,
    outcomes_text,
)
from autohedge.audit.as_json import as_dict
from autohedge.audit.summary import detail_facts, headline_facts, prompt_facts, totals
from autohedge.audit.text import source_text
from autohedge.journal import RunFolder
from tests.audit.run_factory import scripted, yes

ALL = AuditFilter(last=10_000, whole=10_000)
ONE = ('synthetic.symbols=["BTC/USD"]', "hybrid.learn_every_trades=0", "synthetic.hours=0.1")


def test_headline_sums_round_trips_and_names_their_parts(run: RunFolder) -> None:
    found = audit(run, ALL)
    total = totals(found)
    facts = {fact.label: fact for fact in headline_facts(found)}
    assert list(facts) == ["Net P&L", "Round trips", "Questions", "Requests"]
    assert total.net == total.realized - total.fees != 0
    assert facts["Round trips"].value == f"{total.closed} closed"
    assert facts["Questions"].value == str(found.stats.asked)
    assert facts["Requests"].detail == f"{found.sources['bypass']} bypassed"


def test_cost_is_a_fact_of_the_run_and_of_each_deliberation(workplace: Path) -> None:
    answer = {"text": yes(), "usage": {"prompt_tokens": 1000, "completion_tokens": 0}}
    prices = ('models."script".price_in=2.5', 'models."script".price_out=0')
    found = audit(scripted(workplace / "answers.jsonl", [answer], *ONE, *prices), ALL)
    facts = {fact.label: fact.value for fact in detail_facts(found)}
    asked = [each for each in found.conversations if each.decision and each.decision.spend]
    assert facts["Cost"] == f"{Decimal('0.0025') * found.call_stats.calls:f}".rstrip("0") + " USD"
    assert asked and all("for 0.0025 USD" in source_text(each) for each in asked)
    values = as_dict(found)
    assert values["questions"]["spend"]["cost_usd"] == str(found.stats.spend.cost_usd)
    assert values["conversations"][-1]["decision"]["spend"]["cost_usd"] == "0.0025000"


def test_codes_are_counted_once_whoever_refused(by_rules: RunFolder) -> None:
    found = audit(by_rules, ALL)
    facts = {fact.label: fact.value for fact in detail_facts(found)}
    assert found.stats.refusals.keys() <= found.stats.proposals.keys()
    assert "entry" in facts["Engine"] and "no_trade" not in facts["Engine"]
    assert "Director" in facts["Refused by"] and "Abstained" not in facts
    (prompts,) = prompt_facts(found)
    assert all(f"{agent} version 1 (" in prompts.value for agent in AGENT_ORDER)


def test_agent_outcomes_show_who_agreed_refused_and_was_not_asked(by_rules: RunFolder) -> None:
    found = audit(by_rules, ALL)
    shown = Counter(
        (each.resolution, outcomes_text(agent_outcomes(each)))
        for each in found.conversations
        if each.decision and each.calls
    )
    assert shown["entry", "●─●─●─●"] and shown["no_trade", "■ ○ ○ ○"]
    outcomes: list[AgentOutcome] = ["agreed", "refused", "not asked", "not asked"]
    assert outcomes_text(outcomes) == "●─■ ○ ○"
    assert outcomes_label(outcomes) == "Director agreed, Quant refused, Risk not asked, Execution not asked"


def test_agent_outcomes_are_empty_in_hybrid_mode(run: RunFolder) -> None:
    assert {outcomes_text(agent_outcomes(each)) for each in audit(run, ALL).conversations} == {""}
