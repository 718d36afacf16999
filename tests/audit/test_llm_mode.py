"""Tests the audit of runs in llm mode: calls of all agents, and the outcome of each proposal."""

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autohedge import app, cli
from autohedge.audit import Audit, AuditFilter, as_dict, audit, text
from autohedge.audit.agent_outcomes import agent_outcomes, outcomes_text
from autohedge.audit.conversations import Conversation, ConversationProjection
from autohedge.audit.page import page
from autohedge.audit.terminal import LABEL_CHARS
from autohedge.audit.timeline import Activity
from autohedge.audit.turns import verdict
from autohedge.config import load
from autohedge.core.events import (
    AnyEvent,
    CooldownChanged,
    Decision,
    DeliberationRequested,
    OperatorCommand,
    ProposalResolved,
    SettingsChanged,
    SubmitOrder,
    Timer,
    TradingStateChanged,
)
from autohedge.core.orders import BUY
from autohedge.core.units import NS_PER_S
from autohedge.journal import JournalLine, RunFolder, read
from tests.audit.run_factory import HOSTILE, HOUR, agent_answer, recorded, team
from tests.audit.test_page import Opened
from tests.made_once import recorded_once

ALL = AuditFilter(last=10_000, whole=10_000)


@pytest.fixture(scope="module")
def by_script(session_folder: Path) -> RunFolder:
    """A run in which each agent refuses in turn, one gives no answer, and one position is opened and sold."""
    director, quant, risk, execution = (
        agent_answer(agent) for agent in ("director", "quant", "risk", "execution")
    )
    answers = [
        director | {"decision": "no_trade"},
        director | {"confidence_pct": 5},
        *(director, quant | {"thesis": "refuted"}),
        *(director, quant, risk | {"decision": "reject", "reason": f"Too dear. {HOSTILE}"}),
        *(director, quant, risk, {"failure": "server_error"}),
        *(director | {"thesis": f"{HOSTILE} up 4321 bps"}, quant, risk, execution),
        director,
        director | {"direction": "exit"},
    ]

    def record() -> None:
        settings = team(*answers, agents__director__min_confidence_pct="20", llm__retries="0")
        wide = ["exits.take_profit_bps=900", "exits.stop_loss_bps=900"]
        bounds = ["agents.risk.most_stop_loss_bps=900", "agents.risk.most_take_profit_bps=900"]
        recorded(*HOUR, *settings, *wide, *bounds)

    return recorded_once(session_folder / "audited-script", record)


@pytest.fixture
def call(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Returns the output of `autohedge audit`, 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*args: object) -> str:
        monkeypatch.setattr(sys, "argv", ["autohedge", "audit", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def firsts(found: Audit) -> dict[str, Conversation]:
    """Returns the first conversation with each outcome of a proposal, by code."""
    by: dict[str, Conversation] = {}
    for each in found.conversations:
        by.setdefault(each.resolution, each)
    return by


def test_audit_resolutions_refusals_and_orders_match_the_run(by_rules: RunFolder) -> None:
    found, results = audit(by_rules, ALL), by_rules.read_results()
    assert results
    deliberations = results["deliberations"]
    assert +found.stats.proposals == Counter(deliberations["proposals"])
    assert +found.stats.abstentions == Counter(deliberations["abstentions"])
    refused = {
        code: n
        for code, n in deliberations["proposals"].items()
        if code in {"no_trade", "refuted", "rejected"}
    }
    assert {code: found.stats.refusals[code] for code in refused} == refused
    orders = [line.event for line in read(by_rules.journal) if isinstance(line.event, SubmitOrder)]
    entries = {order.order_id for order in orders if order.side is BUY}
    enters = [each for each in found.conversations if each.resolution == "entry"]
    assert entries and {each.sent.order_id for each in enters if each.sent} == entries
    assert all(each.trips[0].orders[0] is each.sent for each in enters)
    sold = [each for each in found.conversations if each.resolution == "exit_signal"]
    assert sold and all(each.sent and each.sent.side is not BUY and not each.trips for each in sold)
    assert sum(len(each.trips) for each in found.conversations) == len(entries)
    trips = [trip for each in found.conversations for trip in each.trips if trip.closed_ns]
    assert len(trips) == sum(group.closed for group in found.groups.values()) > 0


def test_list_in_llm_mode_shows_outcomes_and_no_gates(
    call: Callable[..., str], by_rules: RunFolder, by_script: RunFolder
) -> None:
    for run in (by_rules, by_script):
        out = call(run.path, "--last", 999)
        head, listed = out.split("\n\n")[:2]
        assert "gate" not in out
        assert max(map(len, listed.splitlines())) <= 80
        assert re.search(r"^Engine +\d+ ", head, re.MULTILINE)
    out = call(by_script.path, "--last", 999)
    for who in (
        r"Refused by +Director \d+ \(\d+ no_trade, \d+ low_confidence\)",
        r"Quant \d+ \(refuted\)",
        r"Risk \d+ \(rejected\)",
    ):
        assert re.search(who, out)
    for fragment in (
        "      Quant refused: thesis refuted, technical score 70 %, volatility pass",
        "      Risk refused: Too dear.",
        "      no answer from Execution: ",
        "      figures not in the data: ",
        "keep long in_position\n",
        "exit_signal\n",
    ):
        assert fragment in out
    assert re.search(r"^      buy 0\.\d+ at [\d,.]+, ioc · filled · order [0-9a-f]{8}$", out, re.MULTILINE)


def test_conversation_shows_each_agent_in_order_then_engine_and_order(
    call: Callable[..., str], by_script: RunFolder
) -> None:
    entry = firsts(audit(by_script, ALL))["entry"]
    out = call(by_script.path, "--number", entry.number)
    assert re.findall("^═══ (.*) ═══$", out, re.MULTILINE) == ["Director", "Quant", "Risk", "Execution"]
    labels = [line[:LABEL_CHARS].strip() for line in out.split("── outcome ──")[1].splitlines()]
    nonempty_labels = [label for label in labels if label]
    assert nonempty_labels == ["figures", "confidence", "proposal", "engine", "round trip"]
    for fragment in (
        "You watch one market",
        "You test a claim",
        "You guard the money",
        "You place one order",
    ):
        assert out.count(fragment) == 1
    assert entry.sent and out.count(entry.sent.order_id) == 1 and "80 % as stated, " in out
    assert re.search(
        r"exit_signal: sell 0\.\d+ at market, ioc · filled at [\d,.]+, fee", " ".join(out.split())
    )


def test_conversation_without_order_shows_only_agents_called_until_then(
    call: Callable[..., str], by_script: RunFolder
) -> None:
    found = firsts(audit(by_script, ALL))
    for code, agents, outcomes in (
        ("no_trade", ["Director"], "■ ○ ○ ○"),
        ("low_confidence", ["Director"], "■ ○ ○ ○"),
        ("refuted", ["Director", "Quant"], "●─■ ○ ○"),
        ("rejected", ["Director", "Quant", "Risk"], "●─●─■ ○"),
        ("server_error", ["Director", "Quant", "Risk", "Execution"], "●─●─●─×"),
    ):
        assert outcomes_text(agent_outcomes(found[code])) == outcomes
        out = call(by_script.path, "--number", found[code].number)
        assert re.findall("^═══ (.*) ═══$", out, re.MULTILINE) == agents
        outcome = out.split("── outcome ──")[1]
        assert "\norders       none" in outcome
        assert (code == "no_trade") is not bool(re.search("^(refused|failed) ", outcome, re.MULTILINE))


def test_page_in_llm_mode_shows_outcomes_and_hostile_text_inert(by_script: RunFolder) -> None:
    found = audit(by_script, ALL)
    opened = Opened("".join(page(found)))
    assert not {"script", "img"} & set(opened.tags) and "<script>" in opened.text
    assert "\x1b" not in opened.text and "\u202e" not in opened.text
    assert "Gate" not in opened.text and "deliberating" in opened.text
    assert opened.classes("svg").count("strip") == len(found.activity) == 1
    for fragment in (
        "Quant refused: ",
        "not in the data: ",
        "Outcome",
        "Execution",
        "entry: an order",
    ):
        assert fragment in opened.text
    assert opened.open == []


def test_terminal_output_of_hostile_agents_has_no_control_characters(
    call: Callable[..., str], by_script: RunFolder
) -> None:
    found = firsts(audit(by_script, ALL))
    for args in ((), ("--number", found["rejected"].number), ("--number", found["entry"].number)):
        out = call(by_script.path, *args)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)


def test_as_dict_includes_resolution_and_sent_order(by_script: RunFolder) -> None:
    document = as_dict(audit(by_script, ALL))
    assert (
        document["questions"]["refusals"]["refuted"] > 0 and document["questions"]["proposals"]["entry"] > 0
    )
    entry = next(each for each in document["conversations"] if each["resolution"] == "entry")
    assert isinstance(entry["sent"]["quantity"], str) and entry["sent"]["take_profit"] > 0
    assert entry["state"] == "" and entry["decision"]["proposal"]["size_pct"] == 50


def followed(*events: AnyEvent, mode: str = "llm") -> list[Conversation]:
    """Returns the conversations of a journal in which only the events after a decision share its step."""
    projection = ConversationProjection(ALL, load(None, [f'trading.mode="{mode}"', "hybrid.deadline_s=5"]))
    seq = 0
    for event in events:
        seq += 1 if isinstance(event, ProposalResolved | SubmitOrder | CooldownChanged) else 10
        projection.apply(JournalLine("", seq=seq, event=event))
    return projection.finish()


def requested(number: int, at_s: int, kind: Any = "trade") -> DeliberationRequested:
    return DeliberationRequested(at_s * NS_PER_S, number, kind, "X", "")


def test_answer_after_deadline_is_late_and_resolved_as_timeout() -> None:
    late = Decision(8 * NS_PER_S, 1, "trade", "X", 0, "trade", direction="long")
    first, second = followed(
        requested(1, 0),
        Timer(5 * NS_PER_S),
        ProposalResolved(5 * NS_PER_S, 1, "X", "timeout"),
        requested(2, 6),
        late,
    )
    assert (first.outcome, first.given_up, first.resolution) == ("late", "timeout", "timeout")
    assert text.engine_text(first).startswith("timeout: the model did not answer in time")
    assert (second.outcome, second.resolution, second.state) == ("unanswered", "", "")


def test_question_why_in_llm_mode_states_its_trigger() -> None:
    no = Decision(NS_PER_S, 1, "trade", "X", 0, "no_trade", direction="long")
    cools, over = (
        CooldownChanged(NS_PER_S, "X", 10, "no_trade"),
        CooldownChanged(2 * NS_PER_S, "X", 0, "expired"),
    )
    assert (
        followed(requested(1, 0), no, requested(2, 60))[1].why
        == "a new quote, at least 60 s after question 1"
    )
    halted = followed(
        requested(1, 0), TradingStateChanged("halted", reason="by hand", halt_id=None), requested(2, 60)
    )[1].why
    assert halted.startswith("all questions were cancelled (halted)")
    keep, resumed = (
        Decision(NS_PER_S, 1, "trade", "X", 0, "keep"),
        OperatorCommand(NS_PER_S, "resume", "back"),
    )
    changed = SettingsChanged(NS_PER_S, "old", "new", {"llm.min_interval_s": 1.0})
    assert _why_asked(keep, resumed) == "the operator's pause was over"
    assert _why_asked(keep, changed) == "a changed setting let it be asked sooner"
    projection = ConversationProjection(ALL, load(None, ['trading.mode="llm"']))
    events: list[AnyEvent] = [requested(1, 0), no, cools, over, requested(2, 9)]
    for seq, event in enumerate(events):
        projection.apply(JournalLine("", seq=seq, event=event))
    assert projection.finish()[1].why == "the cooldown after question 1 ended"


def _why_asked(decision: Decision, cause: AnyEvent) -> str:
    """Why a second question was asked in the step of an input, after the first was answered."""
    projection = ConversationProjection(ALL, load(None, ['trading.mode="llm"']))
    for seq, event in ((0, requested(1, 0)), (10, decision), (20, cause), (21, requested(2, 60))):
        projection.apply(JournalLine("", seq=seq, event=event))
    return projection.finish()[1].why


def test_cached_verdict_shows_when_it_was_decided() -> None:
    cached = Decision(
        70 * NS_PER_S,
        1,
        "gate",
        "X",
        70 * NS_PER_S,
        "trade",
        direction="long",
        source="cache",
        decided_ns=NS_PER_S,
    )
    (only,) = followed(requested(1, 70, "gate"), cached, mode="hybrid")
    assert "cache hit, verdict of 1970-01-01 00:00:01.000 UTC" in text.answer_text(only)
    assert text.gist(only) == ["cache hit, verdict of 00:00:01"] and not text.no_call_reason(only)


def test_a_hybrid_list_shows_confidence_figures_and_agreement(
    call: Callable[..., str], workplace: Path
) -> None:
    wild, other = agent_answer("director", thesis="RSI 99.7."), agent_answer("director", decision="no_trade")
    samples = [*team(wild, other, wild, trading__mode='"hybrid"'), "agents.director.samples=3"]
    weak = [*samples, "agents.director.min_confidence_pct=60"]
    settings = load(None, ["synthetic.hours=0.1", *weak])
    run = RunFolder.find(app.run(settings, app.tape_for(settings, [])).run)
    out = call(run.id)
    assert "no_trade long 0 % low_confidence cooldown" in out
    assert "      Director refused: confidence 0 % is below the minimum" in out
    assert "      figures not in the data: " in out
    assert "      agreement: 66 % of the Director's samples" in out


def test_activity_of_several_kinds_shows_the_highest_ranked() -> None:
    activity = Activity()
    for at, what, on in ((1, "deliberating", True), (2, "holding", True), (3, "deliberating", False)):
        activity.note("X", at, what, on=on)
    activity.note("X", 4, "cooldown", on=True)
    activity.note("X", 5, "holding", on=False)
    activity.note("X", 6, "cooldown", on=False)
    assert list(activity.lines["X"]) == [(1, "deliberating"), (2, "holding"), (5, "cooldown"), (6, "idle")]


def test_abstention_claims_no_checks_and_names_the_failed_agent(by_script: RunFolder) -> None:
    failed = firsts(audit(by_script, ALL))["server_error"]
    assert list(text.checks(failed)) == []
    assert text.gist(failed)[1].startswith("no answer from Execution: ")
    assert text.engine_detail(failed) == ""


def test_disagreeing_samples_have_no_common_thesis(workplace: Path) -> None:
    rises, falls = agent_answer("director", thesis="Up."), agent_answer("director", decision="no_trade")
    settings = load(
        None,
        [
            "synthetic.hours=0.1",
            *team(rises, falls, trading__mode='"hybrid"'),
            "agents.director.samples=2",
        ],
    )
    found = audit(RunFolder.find(app.run(settings, app.tape_for(settings, [])).run), ALL)
    split = next(
        each for each in found.conversations if each.decision and each.decision.code == "no_agreement"
    )
    assert verdict(split) == {} and "Up." not in " ".join(text.gist(split))
    assert text.gist(split)[0].startswith("no answer from Director: the samples of the Director's answer")


def test_rejected_answer_that_is_one_object_is_shown_once(by_script: RunFolder) -> None:
    call = firsts(audit(by_script, ALL))["refuted"].calls[0]
    assert text.raw_equals_parsed(call) and text.parsed_title(call) == "answer"
    rejected = msgspec.structs.replace(call, outcome="invalid", failure="thesis: too long")
    assert text.raw_equals_parsed(rejected) and text.parsed_title(rejected) == "answer, rejected"
    fenced = msgspec.structs.replace(call, parse="fenced")
    assert not text.raw_equals_parsed(fenced) and text.parsed_title(fenced) == "parsed (fenced)"
