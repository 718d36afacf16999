"""A forged transcript is detected at its first difference, even with recomputed hashes."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autohedge import app
from autohedge.core.errors import Corrupt
from autohedge.graph.replay_diff import ABSENT, shortened
from autohedge.journal import RunFolder
from autohedge.llm.transcript import TranscriptEntry
from tests.forged_record_factory import Lines, first, rewrite
from tests.graph.record_factory import (
    ANSWER,
    copied,
    forging,
    replayed,
    require_difference,
    rewrite_file,
    transcribed,
    with_answer,
    with_message,
)

pytestmark = pytest.mark.process

Forge = Callable[[RunFolder], RunFolder]


def _at(lines: list[TranscriptEntry], **wanted: object) -> int:
    return next(
        index
        for index, line in enumerate(lines)
        if all(getattr(line, key) == value for key, value in wanted.items())
    )


@pytest.mark.parametrize("named", [False, True])
def test_a_changed_message_is_named_with_its_character(
    by_rules: RunFolder, forge: Forge, named: bool
) -> None:
    folder = forge(by_rules)
    with forging(folder, named=named) as lines:
        old = lines[4].request
        assert old
        text = old.messages[1].content
        lines[4] = with_message(lines[4], 1, f"{text[:99]}~{text[100:]}")
    difference = require_difference(folder)
    assert (difference.deliberation, difference.call) == (lines[4].deliberation, 0)
    assert difference.what == "request message 2 at character 100"
    assert "~" in difference.recorded and "~" not in difference.replayed
    assert str(difference).startswith(f"deliberation {lines[4].deliberation}, BTC/USD, call 0, request")


def test_a_change_without_its_hash_is_damage_with_file_and_line(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    whole = folder.transcript.read_bytes().splitlines(keepends=True)
    whole[2] = whole[2].replace(b"Account:", b"Accounts:", 1)
    folder.transcript.write_bytes(b"".join(whole))
    with pytest.raises(Corrupt, match=r"transcript\.jsonl: line 3 is damaged"):
        replayed(folder)


@pytest.mark.parametrize(("field", "value"), [("model", "small"), ("timeout_s", 2.5), ("max_tokens", 7)])
def test_another_model_timeout_or_limit_of_a_request_is_named(
    by_rules: RunFolder, forge: Forge, field: str, value: object
) -> None:
    folder = forge(by_rules)
    with forging(folder, named=True) as lines:
        old = lines[4].request
        assert old
        request = msgspec.structs.replace(old, **{field: value})
        lines[4] = msgspec.structs.replace(lines[4], request=request)
    difference = require_difference(folder)
    assert (difference.what, difference.recorded) == (f"request {field}", shortened(value))


@pytest.mark.parametrize("field", ["text", "model", "service_ms", "finish_reason"])
def test_a_changed_answer_is_not_the_one_that_its_decision_names(
    by_rules: RunFolder, forge: Forge, field: str
) -> None:
    folder = forge(by_rules)
    with forging(folder, named=False) as lines:
        old = lines[5].response
        assert old
        other = {"text": old.text.replace("Drift", "drift"), "model": "gpt", "service_ms": 0.5}
        response = msgspec.structs.replace(old, **{field: other.get(field, "eos")})
        lines[5] = msgspec.structs.replace(lines[5], response=response)
    difference = require_difference(folder)
    assert (difference.deliberation, difference.call) == (lines[5].deliberation, 0)
    assert difference.what == "answer"


def test_another_verdict_is_found_though_the_journal_names_the_forged_line(
    by_rules: RunFolder, forge: Forge
) -> None:
    folder = forge(by_rules)
    with forging(folder, named=True) as lines:
        lines[2] = with_answer(lines[2], ANSWER)
    difference = require_difference(folder)
    assert difference.deliberation == lines[2].deliberation
    assert difference.what == "decision verdict"
    assert (difference.recorded, difference.replayed) == ("no_trade", "trade")


def test_forged_answer_of_undecided_deliberation_is_a_difference(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)

    def forget(lines: Lines) -> None:
        lines[:] = [line for line in lines if line.get("event", {}).get("type") != "decision"]

    rewrite(folder, forget)
    with forging(folder, named=False) as lines:
        lines[1] = with_answer(lines[1], "prose")
    difference = require_difference(folder)
    assert difference.what == "answer outcome"
    assert (difference.recorded, difference.replayed) == ("accepted", "no_json")


def test_another_lesson_shows_in_the_first_request_after_it(by_script: RunFolder, forge: Forge) -> None:
    folder = forge(by_script)
    with forging(folder, named=True) as lines:
        learned = _at(lines, agent="learning", outcome="accepted")
        response = lines[learned].response
        assert response
        lines[learned] = with_answer(lines[learned], response.text.replace("Patience pays", "Greed pays"))
    difference = require_difference(folder)
    assert difference.deliberation > lines[learned].deliberation
    assert difference.what.startswith("request message 2 at character ")
    assert "Greed" in difference.replayed or "Greed" not in difference.recorded


@pytest.mark.parametrize("agent", ["director", "learning"])
def test_another_prompt_file_shows_in_its_first_request(
    by_script: RunFolder, forge: Forge, agent: str
) -> None:
    folder = forge(by_script)
    rewrite_file(folder, lambda agents: str(agents["prompts"][agent]), "You ", "You, ")
    lines = transcribed(folder)
    difference = require_difference(folder)
    assert difference.deliberation == lines[_at(lines, agent=agent)].deliberation
    assert difference.what.startswith("request message 1 at character ")


def test_prompt_file_rendering_the_same_is_found_by_its_hash(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    rewrite_file(folder, lambda agents: str(agents["prompts"]["director"]), "version: 1", "version: 2")
    assert require_difference(folder).what == "request prompt_hash"


def test_other_headlines_show_in_the_first_request(by_script: RunFolder, forge: Forge) -> None:
    folder = forge(by_script)
    rewrite_file(folder, lambda agents: str(agents["headlines"]), "BTC rises", "BTC falls")
    difference = require_difference(folder)
    assert difference.deliberation == 1
    assert "falls" in difference.replayed


@pytest.mark.parametrize("kind", ["prompts", "headlines"])
def test_a_recorded_file_that_was_changed_under_its_name_is_damage(
    by_script: RunFolder, forge: Forge, kind: str
) -> None:
    folder = forge(by_script)
    agents = json.loads(folder.journal.read_text().partition("\n")[0])["genesis"]["agents"]
    name = agents["headlines"] if kind == "headlines" else agents["prompts"]["director"]
    path = folder.stored_file(name)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(Corrupt, match="content does not match its name"):
        replayed(folder)
    path.unlink()
    with pytest.raises(Corrupt, match="is missing"):
        replayed(folder)


def test_a_prompt_file_that_is_no_text_is_damage(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    name = folder.store_file(b"---\xff", ".md")

    def rename(lines: Lines) -> None:
        lines[0]["genesis"]["agents"]["prompts"]["director"] = name

    rewrite(folder, rename)
    with pytest.raises(Corrupt, match="is damaged"):
        replayed(folder)


def test_a_lost_line_is_a_difference(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    with forging(folder, named=False) as lines:
        lost = lines.pop(3)
    difference = require_difference(folder)
    assert (difference.deliberation, difference.what) == (lost.deliberation, "transcript")
    assert difference.recorded == ABSENT


@pytest.mark.parametrize("call", [0, 1])
def test_a_lost_call_of_a_repaired_answer_is_a_difference(
    by_script: RunFolder, forge: Forge, call: int
) -> None:
    folder = forge(by_script)
    with forging(folder, named=False) as lines:
        second = _at(lines, call=1)
        lost = lines.pop(second - 1 + call)
    difference = require_difference(folder)
    assert (difference.deliberation, difference.call) == (lost.deliberation, call)


@pytest.mark.parametrize("deliberation", [3, 10_000])
def test_an_extra_line_is_a_difference(by_rules: RunFolder, forge: Forge, deliberation: int) -> None:
    folder = forge(by_rules)
    with forging(folder, named=False) as lines:
        lines.append(msgspec.structs.replace(lines[_at(lines, deliberation=3)], deliberation=deliberation))
    assert require_difference(folder).deliberation == deliberation


def test_reordered_transcript_lines_replay_without_difference(by_script: RunFolder, forge: Forge) -> None:
    folder = forge(by_script)
    with forging(folder, named=False) as lines:
        lines.reverse()
    assert replayed(folder) is None


def test_a_transcript_that_is_gone_is_a_difference(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    folder.transcript.unlink()
    assert require_difference(folder).deliberation == 1


def test_another_snapshot_is_not_the_one_that_the_question_names(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    with forging(folder, named=True) as lines:
        snapshot = lines[6].snapshot
        assert snapshot
        lines[6] = msgspec.structs.replace(
            lines[6], snapshot=msgspec.structs.replace(snapshot, valid_quotes=snapshot.valid_quotes + 1)
        )
    difference = require_difference(folder)
    assert (difference.deliberation, difference.what) == (lines[6].deliberation, "snapshot")


@pytest.mark.parametrize(
    ("field", "value"),
    [("verdict", "abstain"), ("confidence_pct", 1), ("source", "gpt"), ("code", "x"), ("asked_ns", 1)],
)
def test_another_decision_in_the_journal_is_named_with_its_field(
    by_rules: RunFolder, forge: Forge, field: str, value: object
) -> None:
    folder = forge(by_rules)

    def decide(lines: Lines) -> None:
        first(lines, type="decision", number=4)["event"][field] = value

    rewrite(folder, decide)
    difference = require_difference(folder)
    assert (difference.deliberation, difference.what) == (4, f"decision {field}")
    assert difference.recorded == shortened(value)


def test_unrequested_or_repeated_decision_is_a_difference(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)

    def repeat(lines: Lines) -> None:
        lines.append(dict(first(lines, type="decision", number=4)))

    def drop_question(lines: Lines) -> None:
        lines.remove(first(lines, type="deliberation_requested", number=2))

    rewrite(folder, repeat)
    assert require_difference(folder).what == "decision"
    rewrite(folder, drop_question)
    assert (require_difference(folder).deliberation, require_difference(folder).what) == (2, "question")


def test_other_provider_in_genesis_is_a_decision_source_difference(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)

    def rename(lines: Lines) -> None:
        lines[0]["genesis"]["agents"]["provider"] = "openai"

    rewrite(folder, rename)
    assert require_difference(folder).what == "decision source"


@pytest.mark.parametrize("agents", [{"provider": 3}, {"provider": "rules", "prompts": []}, "x"])
def test_genesis_with_malformed_agents_part_is_damage(
    by_rules: RunFolder, forge: Forge, agents: object
) -> None:
    folder = forge(by_rules)

    def damage(lines: Lines) -> None:
        lines[0]["genesis"]["agents"] = agents

    rewrite(folder, damage)
    with pytest.raises(Corrupt, match="genesis is damaged"):
        app.replay_deliberations(folder)


CHANGED = st.tuples(
    st.integers(0, 10**6), st.integers(0, 2), st.integers(0, 10**6), st.characters(codec="utf-8")
)


@given(CHANGED, st.booleans())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_character_of_a_message_or_an_answer_is_missed(
    by_script: RunFolder, change: tuple[int, int, int, str], named: bool
) -> None:
    pick, part, place, character = change
    with TemporaryDirectory() as place_of_copy:
        folder = copied(by_script, Path(place_of_copy))
        with forging(folder, named=named and part < 2) as lines:
            index = pick % len(lines)
            lines[index] = changed = _changed(lines[index], part, place, character)
        difference = replayed(folder)
    if changed == transcribed(by_script)[index]:
        assert difference is None
        return
    assert difference
    assert (difference.deliberation, difference.call) == (changed.deliberation, changed.call)
    assert difference.what.startswith("answer" if part == 2 else f"request message {part + 1} at character ")


def _changed(line: TranscriptEntry, part: int, place: int, character: str) -> TranscriptEntry:
    """Changes one character of a message or of the answer."""
    if part < 2 and line.request:
        text = line.request.messages[part].content
        return with_message(line, part, _replaced(text, place, character))
    if part == 2 and line.response:
        return with_answer(line, _replaced(line.response.text, place, character))
    return line


def _replaced(text: str, place: int, character: str) -> str:
    at = place % max(1, len(text))
    return f"{text[:at]}{character}{text[at + 1 :]}"
