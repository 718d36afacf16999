"""Recorded questions asked again on their snapshots."""

from pathlib import Path
from typing import Any

import pytest

from autohedge.core.errors import Corrupt
from autohedge.journal import RunFolder
from autohedge.whatif import Change, as_dict, study
from autohedge.whatif.again import Again, ask_again, sorted_out
from autohedge.whatif.change import plan
from autohedge.whatif.record import read_record
from tests.rebuild import Lines, rewrite
from tests.whatif.studies import CAREFUL, asking, obeying, prompts, recorded, studied


def test_another_prompt_changes_exactly_the_decisions_that_it_changes() -> None:
    with obeying() as server:
        folder = recorded(**asking(server))
        before = len(server.chats())
        found = studied(folder, prompts=prompts(adding=CAREFUL))
        again = found.again
        assert found.plan.told == ("prompt director",)
        assert {each.symbol for each in again.changed} == {"ETH/USD"}
        assert all(each.symbol == "BTC/USD" for each in again.compared if each.same)
        assert again.ways == {"trade long → no_trade": len(again.changed)}
        assert all(str(each.was) == "trade long 80 %" for each in again.compared)
        shown = {(str(each.now), each.was.why, each.now.why) for each in again.changed}
        assert shown == {("no_trade 40 %", "It always rises.", "I was told to be careful.")}
        assert (again.taken, again.asked) == (0, len(again.compared))
        assert len(server.chats()) == before + again.asked + found.runs.asked
    runs = found.runs
    assert runs.taken > 0
    assert {each.place.symbol for each in runs.parted if each.place.kind == "gate"} == {"ETH/USD"}
    assert runs.variant["buys"] < runs.baseline["buys"]
    assert found.reproduced


def test_where_nothing_changes_nothing_is_asked_and_nothing_differs() -> None:
    with obeying() as server:
        folder = recorded(**asking(server))
        before = len(server.chats())
        found = studied(folder, prompts=prompts())
        assert len(server.chats()) == before
    assert not found.again.changed and found.again.taken == len(found.again.compared) > 0
    _require_no_difference(found.runs)
    assert found.plan.told == ("nothing: this is as recorded",)


@pytest.mark.parametrize("mode", ["hybrid", "llm"])
def test_failures_hold_too_where_nothing_changes(mode: str) -> None:
    folder = recorded(trading__mode=f'"{mode}"', llm__provider='"chaos"', llm__breaker_failures=1)
    found = studied(folder, provider="chaos")
    assert found.again.abstentions(now=False) == found.again.abstentions(now=True)
    assert "breaker_open" in found.again.abstentions(now=True)
    assert found.again.asked == 0 == found.runs.asked
    _require_no_difference(found.runs)


def test_another_word_of_the_settings_leaves_answers_and_changes_what_follows() -> None:
    found = studied(recorded(), overrides=("exits.take_profit_bps=30",))
    assert found.again.asked == 0 and not found.again.changed
    assert found.runs.baseline["fees"] != found.runs.variant["fees"]
    assert found.plan.told == ("exits.take_profit_bps: 3.0 → 30.0",)


def test_another_provider_is_asked_every_question() -> None:
    folder = recorded()
    found = studied(folder, provider="chaos")
    again = found.again
    assert again.who.provider == "chaos" and again.taken == 0 < again.asked
    assert set(again.ways) <= {"trade long → abstain", "no_trade → abstain"}
    assert sum(again.abstentions(now=True).values()) == len(again.changed) > 0


def test_another_model_is_asked_every_question() -> None:
    with obeying() as server:
        server.pages["/v1/models"] = lambda _: _models("meta/llama", "other")
        folder = recorded(**asking(server))
        found = studied(folder, model="other")
        asked = {heard.body["model"] for heard in server.chats()[-3:]}
    assert found.again.who.model == "other" and asked == {"other"}
    assert found.again.taken == 0 and not found.again.changed
    _require_no_difference(found.runs)


def _models(*names: str) -> Any:
    from tests.llm.servers import said

    rows = [{"id": name, "object": "model", "owned_by": "vllm"} for name in names]
    return said({"object": "list", "data": rows})


def test_lessons_are_shown_again_and_listed_not_asked_again() -> None:
    with obeying() as server:
        folder = recorded(**asking(server))
        before = len(server.chats())
        found = studied(folder, prompts=prompts(adding=CAREFUL))
        again = server.chats()[before : before + found.again.asked]
    assert found.again.lessons and {text for _, _, text in found.again.lessons} == {"Patience pays."}
    asked = ["Patience pays." in heard.body["messages"][1]["content"] for heard in again]
    formed = sum(each.at_ns <= found.again.lessons[0][1] for each in found.again.compared)
    assert any(asked) and not any(asked[: formed - 1])
    assert all(heard.body["messages"][1]["content"].rstrip().endswith(CAREFUL) for heard in again)


def test_what_the_cache_or_arithmetic_answered_is_not_asked_again() -> None:
    folder = recorded(risk__max_exposure_notional=205, synthetic__hours=0.2)

    def hit(lines: Lines) -> None:
        decisions = [line["event"] for line in lines if line.get("event", {}).get("type") == "decision"]
        next(each for each in decisions if each["source"] == "rules" and each["kind"] == "gate")["source"] = (
            "cache"
        )

    rewrite(folder, hit)
    record, found = read_record(folder), Again()
    wanted, _ = sorted_out(record, found)
    assert found.cached == 1 and found.bypassed > 0
    learning = sum(
        past.question.kind == "learning" and past.decision is not None for past in record.pasts.values()
    )
    apart = found.cached + found.bypassed + found.unanswered + found.unreached + learning
    assert len(wanted) + apart == len(record.pasts)


def test_a_question_after_an_edit_is_asked_with_the_prompts_that_were_in_force_then() -> None:
    folder = recorded()

    def edited(lines: Lines) -> None:
        """As if all was asked after an edit of a prompt with which the run had begun."""
        slow = lines[0]["genesis"]["slow"]
        asked_with = slow["prompts"]["director"]
        text = folder.kept(asked_with).read_text() + CAREFUL
        slow["prompts"]["director"] = folder.keep(text.encode(), ".md")
        begun = lines[1]
        change = {"type": "prompts_changed", "at_ns": 0, "prompts": {"director": asked_with}}
        lines.insert(2, begun | {"event": change})

    rewrite(folder, edited)
    record = read_record(folder)
    planned = plan(record, Change(overrides=("exits.stop_loss_bps=40",)))
    again = ask_again(record, planned, lambda _: None)
    assert again.asked == 0 and again.taken > 0 and not again.changed
    assert planned.told == ("exits.stop_loss_bps: 2.0 → 40.0",)


def test_a_snapshot_that_is_not_the_journals_is_refused() -> None:
    folder = recorded()

    def other(lines: Lines) -> None:
        next(line["event"] for line in lines if line.get("event", {}).get("type") == "deliberate")[
            "snapshot"
        ] = "0" * 32

    rewrite(folder, other)
    with pytest.raises(Corrupt, match=r"what question 1 showed is not what the journal says"):
        study(folder, Change(provider="chaos"))


def test_hostile_text_is_shown_printable(place: Path) -> None:
    thesis = "\x1b[2J rises\u202e"
    script = place / "script.jsonl"
    script.write_text(_script(thesis))
    found = studied(recorded(), provider="scripted", overrides=(f'llm.script="{script}"',))
    shown = [each.now.why for each in found.again.compared if each.now.verdict != "abstain"]
    assert shown and all(text.isprintable() and "rises" in text for text in shown)
    assert as_dict(found)["again"]["changed"] == len(found.again.changed)


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
    assert not runs.parted and runs.alone == ([], [])
    assert all(runs.difference(figure) == 0 for figure in ("equity", "realized_pnl", "fees", "buys", "sells"))


def test_an_unfinished_record_is_asked_as_far_as_it_goes(place: Path) -> None:
    folder: RunFolder = recorded()
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 2]))
    found = studied(folder, prompts=prompts())
    assert found.reproduced is None and not found.again.changed
    assert found.runs.unrecorded == 0 or found.runs.baseline["deliberations"]["abstentions"]["unrecorded"]
