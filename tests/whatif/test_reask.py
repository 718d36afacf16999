"""Tests re-asking recorded questions on their snapshots."""

from pathlib import Path
from typing import Any

import pytest

from autohedge.core.errors import Corrupt
from autohedge.journal import RunFolder
from autohedge.whatif import Change, as_dict, study
from autohedge.whatif.change import plan
from autohedge.whatif.reask import ReaskResult, reask, select_questions
from autohedge.whatif.recorded_run import read_record
from tests.forged_record_factory import Lines, rewrite
from tests.whatif.study_factory import CAREFUL, obeying, prompts, recorded, server_settings, studied

pytestmark = pytest.mark.process


def test_changed_prompt_changes_only_decisions_it_affects() -> None:
    with obeying() as server:
        folder = recorded(**server_settings(server))
        before = len(server.chats())
        found = studied(folder, prompts=prompts(adding=CAREFUL))
        result = found.reasked
        assert found.plan.differences == ("prompt director",)
        assert {each.symbol for each in result.changed} == {"ETH/USD"}
        assert all(each.symbol == "BTC/USD" for each in result.compared if each.same)
        assert result.transitions == {"trade long → no_trade": len(result.changed)}
        assert all(str(each.was) == "trade long 80 %" for each in result.compared)
        shown = {(str(each.now), each.was.why, each.now.why) for each in result.changed}
        assert shown == {("no_trade 40 %", "It always rises.", "I was told to be careful.")}
        assert (result.reused, result.sent_count) == (0, len(result.compared))
        assert len(server.chats()) == before + result.sent_count + found.runs.sent_count
    runs = found.runs
    assert runs.reused > 0
    assert {each.place.symbol for each in runs.divergences if each.place.kind == "gate"} == {"ETH/USD"}
    assert runs.variant.buys < runs.baseline.buys
    assert found.reproduced


def test_unchanged_prompt_sends_no_request_and_gives_no_difference() -> None:
    with obeying() as server:
        folder = recorded(**server_settings(server))
        before = len(server.chats())
        found = studied(folder, prompts=prompts())
        assert len(server.chats()) == before
    assert not found.reasked.changed and found.reasked.reused == len(found.reasked.compared) > 0
    _require_no_difference(found.runs)
    assert found.plan.differences == ("no difference: as recorded",)


@pytest.mark.parametrize("mode", ["hybrid", "llm"])
def test_recorded_failures_are_reused_with_unchanged_provider(mode: str) -> None:
    folder = recorded(trading__mode=f'"{mode}"', llm__provider='"chaos"', llm__breaker_failures=1)
    found = studied(folder, provider="chaos")
    assert found.reasked.abstentions(now=False) == found.reasked.abstentions(now=True)
    assert "breaker_open" in found.reasked.abstentions(now=True)
    assert found.reasked.sent_count == 0 == found.runs.sent_count
    _require_no_difference(found.runs)


def test_changed_exit_setting_reuses_answers_and_changes_results() -> None:
    found = studied(recorded(), overrides=("exits.take_profit_bps=30",))
    assert found.reasked.sent_count == 0 and not found.reasked.changed
    assert found.runs.baseline.fees != found.runs.variant.fees
    assert found.plan.differences == ("exits.take_profit_bps: 3.0 → 30.0",)


def test_other_provider_receives_every_question() -> None:
    folder = recorded()
    found = studied(folder, provider="chaos")
    result = found.reasked
    assert result.who.provider == "chaos" and result.reused == 0 < result.sent_count
    assert set(result.transitions) <= {"trade long → abstain", "no_trade → abstain"}
    assert sum(result.abstentions(now=True).values()) == len(result.changed) > 0


def test_other_model_receives_every_question() -> None:
    with obeying() as server:
        server.pages["/v1/models"] = lambda _: _models("meta/llama", "other")
        folder = recorded(**server_settings(server))
        found = studied(folder, model="other")
        models = {request.body["model"] for request in server.chats()[-3:]}
    assert found.reasked.who.model == "other" and models == {"other"}
    assert found.reasked.reused == 0 and not found.reasked.changed
    _require_no_difference(found.runs)


def _models(*names: str) -> Any:
    from tests.llm.imitation_server import json_reply

    rows = [{"id": name, "object": "model", "owned_by": "vllm"} for name in names]
    return json_reply({"object": "list", "data": rows})


def test_lessons_are_shown_and_listed_but_not_reasked() -> None:
    with obeying() as server:
        folder = recorded(**server_settings(server))
        before = len(server.chats())
        found = studied(folder, prompts=prompts(adding=CAREFUL))
        requests = server.chats()[before : before + found.reasked.sent_count]
    assert found.reasked.lessons and {text for _, _, text in found.reasked.lessons} == {"Patience pays."}
    shows_lesson = ["Patience pays." in request.body["messages"][1]["content"] for request in requests]
    formed = sum(each.at_ns <= found.reasked.lessons[0][1] for each in found.reasked.compared)
    assert any(shows_lesson) and not any(shows_lesson[: formed - 1])
    assert all(request.body["messages"][1]["content"].rstrip().endswith(CAREFUL) for request in requests)


def test_cached_and_bypassed_questions_are_not_reasked() -> None:
    folder = recorded(risk__max_exposure_notional=205, synthetic__hours=0.2)

    def hit(lines: Lines) -> None:
        decisions = [line["event"] for line in lines if line.get("event", {}).get("type") == "decision"]
        next(each for each in decisions if each["source"] == "rules" and each["kind"] == "gate")["source"] = (
            "cache"
        )

    rewrite(folder, hit)
    record, found = read_record(folder), ReaskResult()
    wanted, _ = select_questions(record, found)
    assert found.cached == 1 and found.bypassed > 0
    learning = sum(
        past.question.kind == "learning" and past.decision is not None for past in record.pasts.values()
    )
    apart = found.cached + found.bypassed + found.unanswered + found.unreached + learning
    assert len(wanted) + apart == len(record.pasts)


def test_question_after_an_edit_uses_the_prompts_then_in_force() -> None:
    folder = recorded()

    def edited(lines: Lines) -> None:
        """Forges a run that began with a careful prompt, edited back before its first question."""
        agents = lines[0]["genesis"]["agents"]
        original = agents["prompts"]["director"]
        text = folder.stored_file(original).read_text() + CAREFUL
        agents["prompts"]["director"] = folder.store_file(text.encode(), ".md")
        begun = lines[1]
        change = {"type": "prompts_changed", "at_ns": 0, "prompts": {"director": original}}
        lines.insert(2, begun | {"event": change})

    rewrite(folder, edited)
    record = read_record(folder)
    planned = plan(record, Change(overrides=("exits.stop_loss_bps=40",)))
    result = reask(record, planned, lambda _: None)
    assert result.sent_count == 0 and result.reused > 0 and not result.changed
    assert planned.differences == ("exits.stop_loss_bps: 2.0 → 40.0",)


def test_a_snapshot_that_is_not_the_journals_is_refused() -> None:
    folder = recorded()

    def other(lines: Lines) -> None:
        next(
            line["event"] for line in lines if line.get("event", {}).get("type") == "deliberation_requested"
        )["snapshot"] = "0" * 32

    rewrite(folder, other)
    with pytest.raises(Corrupt, match=r"the snapshot of question 1 is not the journal's"):
        study(folder, Change(provider="chaos"))


def test_hostile_text_is_shown_printable(place: Path) -> None:
    thesis = "\x1b[2J rises\u202e"
    script = place / "script.jsonl"
    script.write_text(_script(thesis))
    found = studied(recorded(), provider="scripted", overrides=(f'llm.script="{script}"',))
    shown = [each.now.why for each in found.reasked.compared if each.now.verdict != "abstain"]
    assert shown and all(text.isprintable() and "rises" in text for text in shown)
    assert as_dict(found)["again"]["changed"] == len(found.reasked.changed)


def _script(thesis: str) -> str:
    import json

    answer = {
        "decision": "trade",
        "direction": "long",
        "confidence_pct": 60,
        "key_levels": [],
        "horizon_minutes": 5,
    }
    return "".join(
        json.dumps(json.dumps(answer | {"symbol": symbol, "thesis": thesis})) + "\n"
        for symbol in ("BTC/USD", "ETH/USD")
    )


def _require_no_difference(runs: Any) -> None:
    assert not runs.divergences and runs.unmatched == ([], [])
    assert all(runs.difference(figure) == 0 for figure in ("equity", "realized_pnl", "fees", "buys", "sells"))


def test_unfinished_record_is_reasked_as_far_as_it_goes(place: Path) -> None:
    folder: RunFolder = recorded()
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 2]))
    found = studied(folder, prompts=prompts())
    assert found.reproduced is None and not found.reasked.changed
    figures = found.runs.baseline.deliberations
    assert found.runs.unrecorded == 0 or (figures and figures.abstentions["unrecorded"])
