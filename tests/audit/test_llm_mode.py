"""The audit of runs in llm mode: every agent, what the engine made of each proposal, and hybrid runs' new fields."""

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autohedge import app, cli
from autohedge.audit import Audit, AuditFilter, as_dict, audit, text
from autohedge.audit.conversations import Conversation, ConversationProjection
from autohedge.audit.page import page
from autohedge.audit.timeline import Activity
from autohedge.config import load
from autohedge.core.events import (
    AnyEvent,
    CooldownChanged,
    Decision,
    DeliberationRequested,
    Halted,
    ProposalResolved,
    SubmitOrder,
    Timer,
)
from autohedge.core.orders import BUY
from autohedge.core.units import NS_PER_S
from autohedge.journal import JournalLine, RunFolder, read
from tests.audit.run_factory import HOSTILE, agent_answer, recorded, team
from tests.audit.test_page import Opened

ALL = AuditFilter(last=10_000, whole=10_000)
HOUR = ["synthetic.hours=0.4", "llm.min_interval_s=20", "risk.max_exposure_notional=1000000"]


@pytest.fixture(scope="module")
def by_rules(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of three symbols that the rules answered, with orders; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("rules"))
        folder = recorded('trading.mode="llm"', *HOUR)
        return RunFolder(folder.path.resolve())


@pytest.fixture(scope="module")
def by_script(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run in which each agent refuses in turn, one has no answer, one entry is made, and it is sold."""
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
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("script"))
        settings = team(*answers, agents__director__min_confidence_pct="20", llm__retries="0")
        wide = ["exits.take_profit_bps=900", "exits.stop_loss_bps=900"]
        bounds = ["agents.risk.most_stop_loss_bps=900", "agents.risk.most_take_profit_bps=900"]
        folder = recorded(*HOUR, *settings, *wide, *bounds)
        return RunFolder(folder.path.resolve())


@pytest.fixture
def call(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What `autohedge audit` prints, 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*args: object) -> str:
        monkeypatch.setattr(sys, "argv", ["autohedge", "audit", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def firsts(found: Audit) -> dict[str, Conversation]:
    """The first conversation that ended in each code of the engine."""
    by: dict[str, Conversation] = {}
    for each in found.conversations:
        by.setdefault(each.disposed, each)
    return by


def test_audit_resolutions_refusals_and_orders_match_the_run(by_rules: RunFolder) -> None:
    found, results = audit(by_rules, ALL), by_rules.read_results()
    assert results
    deliberations = results["deliberations"]
    assert +found.stats.disposed == Counter(deliberations["disposed"])
    assert +found.stats.abstentions == Counter(deliberations["abstentions"])
    refused = {
        code: n
        for code, n in deliberations["disposed"].items()
        if code in {"no_trade", "refuted", "rejected"}
    }
    assert {code: found.stats.refusals[code] for code in refused} == refused
    orders = [line.event for line in read(by_rules.journal) if isinstance(line.event, SubmitOrder)]
    entries = {order.order_id for order in orders if order.side is BUY}
    enters = [each for each in found.conversations if each.disposed == "entry"]
    assert entries and {each.sent.order_id for each in enters if each.sent} == entries
    assert all(each.trips[0].orders[0] is each.sent for each in enters)
    sold = [each for each in found.conversations if each.disposed == "exit_signal"]
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
        assert "what the engine made of them: " in head
    out = call(by_script.path, "--last", 999)
    (refusals,) = re.findall(r"refusals: .*\n.*", out)
    for who in (
        r"Director \(\d+ no_trade, \d+ low_confidence\)",
        r"Quant \(\d+ refuted\)",
        r"Risk \(\d+ rejected\)",
    ):
        assert re.search(rf"\d+ by {who}", " ".join(refusals.split()))
    for fragment in (
        "      Quant refused: thesis refuted, technical score 70 %, volatility pass",
        "      Risk refused: Too dear.",
        "      no answer of Execution: ",
        "      not borne out: ",
        "      in_position: it is held already, and stays so",
        "      exit_signal: what was held is sold",
        "      entry: an order to buy it was sent",
    ):
        assert fragment in out
    assert re.search(r"^      [0-9a-f]{32}: buy 0\.\d+ at [\d.]+, ioc, filled$", out, re.MULTILINE)


def test_conversation_shows_each_agent_in_order_then_engine_and_order(
    call: Callable[..., str], by_script: RunFolder
) -> None:
    entry = firsts(audit(by_script, ALL))["entry"]
    out = call(by_script.path, "--number", entry.number)
    assert re.findall("^═══ (.*) ═══$", out, re.MULTILINE) == ["Director", "Quant", "Risk", "Execution"]
    labels = [line[:9].strip() for line in out.split("── what became of it ──")[1].splitlines()]
    nonempty_labels = [label for label in labels if label]
    assert nonempty_labels == ["figures", "sure", "proposal", "engine", "order", "trip"]
    for fragment in (
        "You watch one market",
        "You test a claim",
        "You guard the money",
        "You place one order",
    ):
        assert out.count(fragment) == 1
    assert entry.sent and entry.sent.order_id in out and "80 % as stated, " in out
    assert re.search(r"sell 0\.\d+ at market · exit_signal", out)


def test_conversation_without_order_shows_only_agents_called_until_then(
    call: Callable[..., str], by_script: RunFolder
) -> None:
    found = firsts(audit(by_script, ALL))
    for code, agents in (
        ("no_trade", ["Director"]),
        ("low_confidence", ["Director"]),
        ("refuted", ["Director", "Quant"]),
        ("rejected", ["Director", "Quant", "Risk"]),
        ("server_error", ["Director", "Quant", "Risk", "Execution"]),
    ):
        out = call(by_script.path, "--number", found[code].number)
        assert re.findall("^═══ (.*) ═══$", out, re.MULTILINE) == agents
        assert f"\nengine   {code}: " in out and "\norders   none" in out


def test_page_in_llm_mode_shows_outcomes_and_hostile_text_inert(by_script: RunFolder) -> None:
    found = audit(by_script, ALL)
    opened = Opened("".join(page(found)))
    assert not {"script", "img"} & set(opened.tags) and "<script>" in opened.text
    assert "\x1b" not in opened.text and "\u202e" not in opened.text
    assert "Gates" not in opened.text and "What went on" in opened.text
    assert opened.tags.count("svg") == len(found.activity) == 1
    for fragment in (
        "Quant refused: ",
        "not borne out: ",
        "What became of it",
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
    assert document["questions"]["refusals"]["refuted"] > 0 and document["questions"]["disposed"]["entry"] > 0
    entry = next(each for each in document["conversations"] if each["disposed"] == "entry")
    assert isinstance(entry["sent"]["quantity"], str) and entry["sent"]["take_profit"] > 0
    assert entry["state"] == "" and entry["decision"]["proposal"]["size_pct"] == 50


def followed(*events: AnyEvent, mode: str = "llm") -> list[Conversation]:
    """The conversations of a journal whose every event is a step of its own, but for what follows an answer."""
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
    assert (first.outcome, first.given_up, first.disposed) == ("late", "timeout", "timeout")
    assert text.engine_text(first).startswith("timeout: the model did not answer in time")
    assert (second.outcome, second.disposed, second.state) == ("unanswered", "", "")


def test_question_why_in_llm_mode_states_its_trigger() -> None:
    no = Decision(NS_PER_S, 1, "trade", "X", 0, "no_trade", direction="long")
    cools, over = (
        CooldownChanged(NS_PER_S, "X", 10, "no_trade"),
        CooldownChanged(2 * NS_PER_S, "X", 0, "expired"),
    )
    assert (
        followed(requested(1, 0), no, requested(2, 60))[1].why
        == "a quote had come, and 60 s passed, since question 1"
    )
    halted = followed(requested(1, 0), Halted("by hand", None), requested(2, 60))[1].why
    assert halted.startswith("all questions had been given up (halted)")
    projection = ConversationProjection(ALL, load(None, ['trading.mode="llm"']))
    events: list[AnyEvent] = [requested(1, 0), no, cools, over, requested(2, 9)]
    for seq, event in enumerate(events):
        projection.apply(JournalLine("", seq=seq, event=event))
    assert projection.finish()[1].why == "the cooldown after question 1 was over"


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
    assert "by cache, a verdict that was kept, of 1970-01-01 00:00:01.000 UTC" in text.answer_text(only)
    assert "a verdict that was kept, of 1970-01-01 00:00:01.000 UTC" in list(text.notes(only))


def test_a_hybrid_list_shows_confidence_figures_and_agreement(
    call: Callable[..., str], workplace: Path
) -> None:
    wild, other = agent_answer("director", thesis="RSI 99.7."), agent_answer("director", decision="no_trade")
    samples = [*team(wild, other, wild, trading__mode='"hybrid"'), "agents.director.samples=3"]
    weak = [*samples, "agents.director.min_confidence_pct=60"]
    settings = load(None, ["synthetic.hours=0.1", *weak])
    run = RunFolder.find(app.run(settings, app.tape_for(settings, []))["run"])
    out = call(run.id)
    assert "no_trade long 0 % low_confidence" in out and "gate cooldown" in out
    assert "      Director refused: 0 % sure is too little" in out
    assert "      not borne out: " in out and "      agreed: 66 % of the Director's samples" in out


def test_activity_of_several_kinds_shows_the_highest_ranked() -> None:
    activity = Activity()
    for at, what, on in ((1, "deliberating", True), (2, "holding", True), (3, "deliberating", False)):
        activity.note("X", at, what, on=on)
    activity.note("X", 4, "cooldown", on=True)
    activity.note("X", 5, "holding", on=False)
    activity.note("X", 6, "cooldown", on=False)
    assert list(activity.lines["X"]) == [(1, "deliberating"), (2, "holding"), (5, "cooldown"), (6, "idle")]
