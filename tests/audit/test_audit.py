"""Tests that an audit links questions, decisions, gates, orders and calls, and names any damage."""

import re
import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge.audit import Audit, AuditFilter, audit, text
from autohedge.audit.conversations import ConversationProjection
from autohedge.config import load
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.core.events import (
    AnyEvent,
    Decision,
    DeliberationRequested,
    GateChanged,
    Restarted,
    SubmitOrder,
    Timer,
    TradingStateChanged,
)
from autohedge.core.orders import BUY
from autohedge.core.units import NS_PER_S
from autohedge.journal import JournalLine, RunFolder, read
from autohedge.journal.chain import torn_tail_bytes
from tests.audit.run_factory import HOSTILE, recorded, scripted, yes

ALL = AuditFilter(last=10_000, whole=10_000)


def copied(run: RunFolder, place: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(run.path, place / run.id)))


def results(run: RunFolder) -> dict[str, Any]:
    found = run.read_results()
    assert found
    return found


def test_audit_questions_match_results_and_have_decisions_and_calls(run: RunFolder) -> None:
    found, run_results = audit(run, ALL), results(run)
    deliberations = run_results["deliberations"]
    assert found.finished and not found.no_question_reason
    assert [each.number for each in found.conversations] == list(range(1, deliberations["asked"] + 1))
    verdicts = Counter(e.outcome for e in found.conversations if e.question.kind == "gate")
    assert {name: verdicts[name] for name in deliberations["verdicts"]} == deliberations["verdicts"]
    assert +found.stats.abstentions == Counter(deliberations["abstentions"])
    assert found.stats.saved == deliberations["bypassed"] > 0
    assert found.stats.outcomes["lesson"] == deliberations["lessons"] > 0
    assert found.call_stats.calls + found.call_stats.unclaimed == run_results["agents"]["calls"]["calls"]
    assert found.call_stats.unclaimed == found.stats.outcomes["unanswered"] <= 3
    for each in found.conversations:
        assert each.calls
        assert not each.decision or tuple(call.hash for call in each.calls) == each.decision.calls


def test_gate_timelines_match_results_and_verdicts(run: RunFolder) -> None:
    found, deliberations = audit(run, ALL), results(run)["deliberations"]
    last = {symbol: list(line)[-1][1] for symbol, line in found.gates.items()}
    assert last == {symbol: deliberations["gates"][symbol] for symbol in last}
    for each in found.conversations:
        if each.outcome == "trade" and each.decision and each.decision.direction == "long":
            assert each.gate and each.gate.state == "open" == each.state
        elif each.outcome == "no_trade":
            assert each.state == "cooldown"


def test_entries_belong_to_last_gate_opening_and_exits_to_entries(run: RunFolder) -> None:
    """Recomputes the links from the journal, independently of the projection."""
    opened: dict[str, int] = {}
    decision_numbers: dict[str, int] = {}
    expected: dict[str, int] = {}
    for line in read(run.journal):
        match line.event:
            case Decision(kind="gate") as decision:
                decision_numbers[decision.symbol] = decision.number
            case GateChanged(state="open") as change:
                opened[change.symbol] = decision_numbers[change.symbol]
            case SubmitOrder() as order:
                bought = opened[order.symbol] if order.side is BUY else expected[order.symbol]
                expected[order.order_id] = expected[order.symbol] = bought
    found = {
        order.order_id: each.number
        for each in audit(run, ALL).conversations
        for trip in each.trips
        for order in trip.orders
    }
    assert found and found == {name: number for name, number in expected.items() if name in found}
    assert len(found) == len([name for name in expected if "/" not in name])


def test_round_trips_sum_up_to_the_result_of_the_run(run: RunFolder) -> None:
    found, run_results = audit(run, ALL), results(run)
    trips = [trip for each in found.conversations for trip in each.trips]
    assert sum(trip.totals.realized for trip in trips) == Decimal(run_results["realized_pnl"]) != 0
    assert sum(trip.totals.fees for trip in trips) == Decimal(run_results["fees"])
    assert sum(group.closed for group in found.groups.values()) == sum(bool(t.closed_ns) for t in trips)
    closed = sum((trip.totals.net for trip in trips if trip.closed_ns), Decimal(0))
    assert sum((group.net for group in found.groups.values()), Decimal(0)) == closed


def test_filter_by_symbol_outcome_and_count_selects_newest_matches(run: RunFolder) -> None:
    some = audit(run, AuditFilter(symbol="ETH/USD", only="no_trade", last=2))
    assert len(some.conversations) == 2 < some.stats.fitting < some.stats.asked
    assert {(e.symbol, e.outcome) for e in some.conversations} == {("ETH/USD", "no_trade")}
    everything = [
        e.number for e in audit(run, AuditFilter(symbol="ETH/USD", only="no_trade", last=999)).conversations
    ]
    assert [e.number for e in some.conversations] == everything[-2:]


def test_filter_whole_limit_gives_calls_of_newest_conversations_only(run: RunFolder) -> None:
    found = audit(run, AuditFilter(last=9, whole=2))
    assert [bool(each.calls) for each in found.conversations] == [False] * 7 + [True] * 2


def test_filter_without_match_is_refused_with_reason(run: RunFolder) -> None:
    with pytest.raises(Misconfigured, match=r"has no question 99999; choose one from 1 to \d+"):
        audit(run, AuditFilter(number=99_999))
    with pytest.raises(Misconfigured, match="no DOGE, only BTC/USD"):
        audit(run, AuditFilter(symbol="DOGE"))
    with pytest.raises(Misconfigured, match="question 1 is not of that"):
        audit(run, AuditFilter(number=1, only="late"))


def test_transcript_altered_line_is_corrupt_and_named(run: RunFolder, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    lines = folder.transcript.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"tries":1', b'"tries":2')
    folder.transcript.write_bytes(b"".join(lines))
    with pytest.raises(Corrupt, match=r"transcript\.jsonl: line 5 is damaged"):
        audit(folder, ALL)


def test_a_call_that_is_gone_is_named_with_its_decision(run: RunFolder, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    lines = folder.transcript.read_bytes().splitlines(keepends=True)
    # A line whose only text is its own table: no later line needs it.
    gone = next(at for at, line in enumerate(lines) if re.search(rb'"texts":\{"\w+":\d+\}', line))
    folder.transcript.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    with pytest.raises(Corrupt, match=r"the call [0-9a-f]{32} that decision \d+ names is missing"):
        audit(folder, ALL)
    folder.transcript.unlink()
    with pytest.raises(
        Corrupt, match=r"transcript\.jsonl is missing, but the journal's decisions name \d+ lines"
    ):
        audit(folder, ALL)


def test_transcript_of_another_run_is_corrupt(run: RunFolder, workplace: Path) -> None:
    other = recorded("seed=5")
    shutil.copy(other.transcript, copied(run, workplace).transcript)
    with pytest.raises(Corrupt, match="that decision 1 names is missing"):
        audit(RunFolder(workplace / run.id), ALL)


def test_a_changed_journal_or_prompt_is_named(run: RunFolder, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    journal = folder.journal.read_bytes()
    folder.journal.write_bytes(journal.replace(b'"confidence_pct":', b'"confidence_pct":1', 1))
    with pytest.raises(Corrupt, match=r"journal\.jsonl: line \d+ is damaged"):
        audit(folder, ALL)
    folder.journal.write_bytes(b"".join(journal.splitlines(keepends=True)[:-1]))
    with pytest.raises(Corrupt, match="lines were cut off or added"):
        audit(folder, ALL)
    folder.journal.write_bytes(journal)
    prompt = next((folder.path / "files").glob("*.md"))
    prompt.write_text("other")
    with pytest.raises(Corrupt, match="was changed: its content does not match its name"):
        audit(folder, ALL)


def test_a_killed_run_is_read_as_far_as_it_came(run: RunFolder, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    folder.results.unlink()
    journal = folder.journal.read_bytes()
    request_index = next(i for i, line in enumerate(read(run.journal)) if _is_request(line, 9))
    lines = journal.splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[: request_index + 1]) + lines[request_index + 1][:50])
    assert torn_tail_bytes(folder.journal) == 50
    found = audit(folder, ALL)
    last = found.conversations[-1]
    assert not found.finished and (last.number, last.outcome, last.decision) == (9, "unanswered", None)
    assert len(last.calls) == 1 and found.call_stats.unclaimed > 1


def _is_request(line: JournalLine, number: int) -> bool:
    return isinstance(line.event, DeliberationRequested) and line.event.number == number


def test_run_without_agents_has_no_conversations(workplace: Path) -> None:
    found = audit(recorded('trading.mode="hft"'), ALL)
    assert "hft mode" in found.no_question_reason and found.conversations == []


def test_a_repaired_answer_has_both_calls_and_an_unusable_one_its_code(workplace: Path) -> None:
    only_btc = 'synthetic.symbols=["BTC/USD"]'
    answers = ["no json", yes(thesis=HOSTILE), "nonsense", "nonsense again"]
    found = audit(scripted(workplace / "said.jsonl", answers, only_btc, "hybrid.learn_every_trades=0"), ALL)
    model_conversations = [
        each for each in found.conversations if each.decision and each.decision.source != "bypass"
    ]
    assert [call.outcome for call in model_conversations[0].calls] == ["no_json", "repaired"]
    assert model_conversations[0].outcome == "trade" and found.call_stats.repaired >= 1
    assert (
        model_conversations[1].outcome,
        model_conversations[1].decision and model_conversations[1].decision.code,
    ) == ("abstain", "no_json")
    assert found.stats.abstentions["no_json"] == sum(e.outcome == "abstain" for e in model_conversations)


def test_a_prompt_is_named_by_its_version_and_hash(run: RunFolder) -> None:
    found = audit(run, AuditFilter(last=1))
    call = found.conversations[0].calls[0]
    prompt = found.prompt(call)
    assert prompt and call.request and prompt.hash == call.request.prompt_hash and prompt.version
    assert (run.path / "files" / prompt.file).is_file()


def followed(events: list[AnyEvent], **changes: str) -> ConversationProjection:
    overrides = [f"hybrid.{key}={value}" for key, value in changes.items()]
    projection = ConversationProjection(ALL, load(None, overrides))
    for seq, event in enumerate(events):
        # The gaps stand for rows, so every event is in a step of its own.
        projection.apply(JournalLine("", seq=10 * seq, event=event))
    return projection


def test_answer_after_deadline_is_late_and_missing_one_is_unanswered() -> None:
    late = Decision(8 * NS_PER_S, 1, "gate", "X", 0, "trade", direction="long")
    projection = followed(
        [
            DeliberationRequested(0, 1, "gate", "X", ""),
            Timer(5 * NS_PER_S),
            DeliberationRequested(6 * NS_PER_S, 2, "gate", "X", ""),
            late,
        ],
        deadline_s="5",
    )
    first, second = projection.finish()
    assert (first.outcome, first.given_up, first.decision, first.gate) == ("late", "timeout", late, None)
    assert (second.outcome, second.given_up) == ("unanswered", "")
    assert projection.stats.abstentions == {"timeout": 1}


def gate_changed(state: Any, why: str) -> GateChanged:
    return GateChanged(NS_PER_S, "X", state, why, 0)


def test_question_why_states_its_trigger() -> None:
    def reason(*before: AnyEvent, apart: bool = False) -> str:
        """Returns why a second question was asked, in the step of `before` or, if `apart`, in its own."""
        projection = ConversationProjection(ALL, load(None, ["hybrid.min_refresh_s=7"]))
        events = [
            DeliberationRequested(0, 1, "gate", "X", ""),
            *before,
            DeliberationRequested(9 * NS_PER_S, 2, "gate", "X", ""),
        ]
        for seq, event in enumerate(events):
            projection.apply(JournalLine("", seq=seq + 5 * (apart and seq == len(before) + 1), event=event))
        return projection.finish()[-1].why

    answer = Decision(NS_PER_S, 1, "gate", "X", 0, "trade", direction="long")
    cooldown = gate_changed("cooldown", "no_trade")
    assert reason(answer, apart=True) == "300 quotes since question 1"
    assert reason(answer) == "question 1, which was pending, was answered"
    assert reason(answer, Timer(0), gate_changed("expired", "")) == "the previous verdict expired"
    assert reason(cooldown, gate_changed("closed", "")) == "the cooldown after question 1 ended"
    assert reason(answer, Timer(0)) == "enough new quotes, at least 7 s after question 1"
    assert reason(Timer(999 * NS_PER_S)) == "question 1 timed out"
    assert reason(Restarted(0, 0, "n"), apart=True).startswith("all gates were closed (restarted)")


def test_bypassed_question_states_why_no_model_was_called(run: RunFolder) -> None:
    found = audit(run, AuditFilter(only="keep", last=999)).conversations
    assert found and all(not call.request for each in found for call in each.calls)
    assert {text.no_call_reason(each) for each in found} == {
        "no LLM request: no order could have passed the limits"
    }
    queried = audit(run, AuditFilter(only="trade", last=999, whole=0)).conversations
    assert {text.no_call_reason(each) + text.summary_text(each) for each in queried} == {""}


def test_an_answer_after_the_engine_halted_by_itself_counts_no_more() -> None:
    answer = Decision(2 * NS_PER_S, 1, "gate", "X", 0, "trade", direction="long")
    projection = followed(
        [
            DeliberationRequested(0, 1, "gate", "X", ""),
            TradingStateChanged("halted", reason="too many errors", halt_id="halt-7"),
            answer,
        ]
    )
    (only,) = projection.finish()
    assert (only.outcome, only.given_up, only.gate) == ("late", "halted", None)


def test_projection_holds_no_more_conversations_than_the_filter_limit() -> None:
    projection = ConversationProjection(AuditFilter(last=3), load(None, []))
    for number in range(1, 50):
        at_ns = number * NS_PER_S
        requested = DeliberationRequested(at_ns, number, "gate", "X", "")
        decided = Decision(at_ns, number, "gate", "X", at_ns, "abstain", code="empty")
        projection.apply(JournalLine("", seq=10 * number, event=requested))
        projection.apply(JournalLine("", seq=10 * number + 1, event=decided))
        assert len(projection._selected) <= 3
    assert [each.number for each in projection.finish()] == [47, 48, 49]


def test_audit_by_number_returns_that_conversation_alone(run: RunFolder) -> None:
    found = audit(run, AuditFilter(number=3))
    assert isinstance(found, Audit) and [each.number for each in found.conversations] == [3]
