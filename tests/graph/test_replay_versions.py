"""Differences that a change of the version explains are named as such, and hide no others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autohedge import app
from autohedge.graph.replay_versions import DeliberationComparison, VersionDifferences
from autohedge.graph.runner import abstention
from autohedge.journal import RunFolder, versions
from autohedge.journal.versions import Part
from autohedge.llm.transcript import TranscriptEntry
from tests.forged_record_factory import Lines, first, rewrite
from tests.graph.record_factory import (
    ANSWER,
    forging,
    hybrid,
    replayed,
    require_difference,
    rewrite_version,
    scripted,
    transcribed,
    with_answer,
    with_message,
)
from tests.process_harness import ROOT, ProcessHarness

pytestmark = pytest.mark.process

Forge = Callable[[RunFolder], RunFolder]
OLDER, NEWER = "0.2.9", "999.0"


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of changes in which the version after `OLDER` changed two parts."""
    monkeypatch.setattr(versions, "CHANGED", {(0, 3): ("schema", "parser")})


@pytest.fixture
def older(forge: Forge) -> Forge:
    """Returns a function that copies a run as one of an older version."""
    return lambda folder: rewrite_version(forge(folder), OLDER)


def _versions(folder: RunFolder) -> VersionDifferences:
    found = app.replay_deliberations(folder)
    assert found and found.versions
    assert found.difference is None
    return found.versions


def _with_schema(line: TranscriptEntry, **properties: Any) -> TranscriptEntry:
    if line.request is None:
        return line
    schema = line.request.schema | {"properties": line.request.schema["properties"] | properties}
    return msgspec.structs.replace(line, request=msgspec.structs.replace(line.request, schema=schema))


def _reword_schemas(folder: RunFolder) -> None:
    with forging(folder, named=True) as lines:
        lines[:] = [_with_schema(line, symbol={"type": "string", "pattern": "^[A-Z]+$"}) for line in lines]


def _index(folder: RunFolder, **wanted: object) -> int:
    return next(
        index
        for index, line in enumerate(transcribed(folder))
        if all(getattr(line, key) == value for key, value in wanted.items())
    )


def _replay(folder: RunFolder, *args: str) -> tuple[int, str]:
    done = ProcessHarness(ROOT, {}).call("replay", str(folder.path), *args)
    return done.returncode, done.stdout + done.stderr


def test_run_of_an_older_version_without_differences_names_the_version(
    by_rules: RunFolder, older: Forge
) -> None:
    code, text = _replay(older(by_rules))
    assert code == 0
    assert " requests rendered again to the byte; version 0.2.9 rendered them" in text
    assert text.endswith("since then the schema and the parser changed\n")


def test_requests_that_differ_in_schema_alone_are_reread(by_rules: RunFolder, older: Forge) -> None:
    folder = older(by_rules)
    _reword_schemas(folder)
    asked = sum(line.request is not None for line in transcribed(folder))
    found = app.replay_deliberations(folder)
    assert found and (found.difference, found.requests) == (None, asked)
    assert found.versions and found.versions.differences.keys() == {"schema"}
    schema = found.versions.differences["schema"]
    assert (schema.deliberations, schema.first.deliberation) == (asked, 1)
    assert schema.first.what == "request schema properties.symbol"
    assert "pattern" in schema.first.recorded and "pattern" not in schema.first.replayed


def test_request_without_the_field_for_similar_symbols_is_reread(workplace: Path, older: Forge) -> None:
    folder = hybrid(synthetic__symbols='["BTC/USD", "BTC-USD"]')
    _reword_schemas(folder)
    with forging(folder, named=True) as lines:
        assert all(line.request is None or line.request.exact_symbol for line in lines)
        lines[:] = [_without_exact_symbol(line) for line in lines]
    assert require_difference(folder).what == "request exact_symbol"
    assert _versions(older(folder)).differences.keys() == {"schema"}


def _without_exact_symbol(line: TranscriptEntry) -> TranscriptEntry:
    request = line.request and msgspec.structs.replace(line.request, exact_symbol=False)
    return msgspec.structs.replace(line, request=request)


def test_line_names_version_changes_and_first_difference(by_rules: RunFolder, older: Forge) -> None:
    folder = older(by_rules)
    _reword_schemas(folder)
    code, text = _replay(folder)
    assert code == 0 and text.count("\n") == 1
    named = "version 0.2.9 rendered them; since then the schema and the parser changed: "
    assert named in text and "to the byte" not in text
    first_difference = "deliberation 1, BTC/USD, call 0, request schema properties.symbol: recorded "
    assert f" differ in schema, the first is {first_difference}" in text
    assert _replay(folder, "--quiet") == (0, "")


def test_json_has_the_differences_by_part(by_rules: RunFolder, older: Forge, forge: Forge) -> None:
    folder = older(by_rules)
    _reword_schemas(folder)
    code, text = _replay(folder, "--json")
    output = json.loads(text)
    assert (code, output["same"], output["deliberations"]["difference"]) == (0, True, None)
    versions = output["deliberations"]["versions"]
    assert (versions["recorded_by"], versions["changed"]) == (OLDER, ["schema", "parser"])
    assert versions["differences"]["schema"]["first"]["call"] == 0
    assert json.loads(_replay(by_rules, "--json")[1])["deliberations"]["versions"] is None


@pytest.mark.parametrize("version", ["", NEWER])
def test_other_schema_in_a_run_of_no_older_version_is_a_difference(
    by_rules: RunFolder, forge: Forge, version: str
) -> None:
    folder = forge(by_rules)
    _reword_schemas(folder)
    if version:
        rewrite_version(folder, version)
    assert require_difference(folder).what == "request schema properties.symbol"
    code, text = _replay(folder)
    assert code == 1
    assert (f"version {NEWER} rendered them; no change of" in text) is bool(version)


def test_answer_that_the_older_parser_accepted_keeps_its_decision(by_rules: RunFolder, older: Forge) -> None:
    folder = older(by_rules)
    with forging(folder, named=True) as lines:
        lines[2] = with_answer(lines[2], "I would rather not.")
    parser = _versions(folder).differences["parser"]
    assert parser.deliberations == 1
    assert (parser.first.deliberation, parser.first.call) == (lines[2].deliberation, 0)
    assert (parser.first.what, parser.first.recorded) == ("answer outcome", "accepted")
    assert parser.first.replayed.startswith("no_json (")


def test_answer_that_the_older_parser_refused_keeps_its_repair(by_script: RunFolder, older: Forge) -> None:
    folder = older(by_script)
    second = _index(folder, call=1, outcome="repaired", agent="director")
    with forging(folder, named=True) as lines:
        repaired = lines[second].response
        assert repaired
        lines[second - 1] = with_answer(lines[second - 1], repaired.text)
    parser = _versions(folder).differences["parser"]
    assert parser.deliberations == 1
    assert (parser.first.deliberation, parser.first.replayed) == (lines[second].deliberation, "accepted")


def test_reworded_repair_is_a_difference_of_the_parser(by_script: RunFolder, older: Forge) -> None:
    folder = older(by_script)
    second = _index(folder, call=1)
    with forging(folder, named=True) as lines:
        lines[second - 1] = msgspec.structs.replace(lines[second - 1], failure="Reworded")
        lines[second] = with_message(lines[second], 3, "Reworded")
    differences = _versions(folder).differences
    assert differences["parser"].first.what == "answer failure"
    assert (differences["parser"].first.recorded, differences["parser"].deliberations) == ("Reworded", 1)


def test_lesson_that_todays_parser_refuses_explains_later_prompts(by_script: RunFolder, older: Forge) -> None:
    folder = older(by_script)
    learned = _index(folder, agent="learning", outcome="accepted")
    with forging(folder, named=True) as lines:
        lines[learned] = with_answer(lines[learned], "Patience pays.")
    parser = _versions(folder).differences["parser"]
    assert parser.first.deliberation == lines[learned].deliberation
    assert parser.deliberations > 1


def test_figures_marked_by_todays_parser_alone_keep_the_decision(workplace: Path, older: Forge) -> None:
    folder = scripted([ANSWER.replace("It rises.", "It rises from 4711.")])

    def unmark(lines: Lines) -> None:
        event = first(lines, type="decision", number=1)["event"]
        assert "4711" in event.pop("unsupported")
        event["confidence_pct"] = 70

    rewrite(folder, unmark)
    assert require_difference(folder).what == "decision confidence_pct"
    parser = _versions(older(folder)).differences["parser"]
    assert (parser.first.what, parser.first.recorded) == ("answer unsupported", "[]")


def test_figures_marked_by_the_record_alone_are_a_difference(by_rules: RunFolder, older: Forge) -> None:
    folder = older(by_rules)

    def mark(lines: Lines) -> None:
        first(lines, type="decision", number=2)["event"]["unsupported"] = ["12"]

    rewrite(folder, mark)
    assert require_difference(folder).what == "decision unsupported"


def test_overflow_of_another_schema_is_a_difference_of_the_schema(workplace: Path, older: Forge) -> None:
    folder = hybrid(llm__context_tokens=600)
    with forging(folder, named=True) as lines:
        lines[:] = [
            msgspec.structs.replace(_with_schema(line, symbol={}), failure="prompt and answer may take 601")
            for line in lines
        ]
    assert require_difference(folder).what == "request schema properties.symbol"
    differences = _versions(older(folder)).differences
    assert differences.keys() == {"schema"}
    assert differences["schema"].deliberations == len(lines)


def test_cached_verdict_under_another_schema_version_is_reread(cached_run: RunFolder, older: Forge) -> None:
    _forge_kept(cached_run, key="0" * 32)
    assert require_difference(cached_run).what == "request"
    assert _versions(older(cached_run)).differences == {}


def test_cached_verdict_that_todays_parser_refuses_keeps_its_decision(
    cached_run: RunFolder, older: Forge
) -> None:
    _forge_kept(cached_run, answer={"decision": "trade"})
    assert require_difference(cached_run).what == "request"
    assert _versions(older(cached_run)).differences["parser"].deliberations == 1


@pytest.fixture
def cached_run(workplace: Path) -> RunFolder:
    """A run in which verdicts were reused."""
    return hybrid(hybrid__cache_verdicts=True)


def _forge_kept(folder: RunFolder, **changes: Any) -> None:
    index = next(index for index, line in enumerate(transcribed(folder)) if line.cached)
    with forging(folder, named=True) as lines:
        kept = lines[index].cached
        assert kept
        lines[index] = msgspec.structs.replace(lines[index], cached=msgspec.structs.replace(kept, **changes))


def test_other_messages_are_explained_where_prompts_changed(by_rules: RunFolder) -> None:
    recorded = transcribed(by_rules)[:1]
    remade = [with_message(recorded[0], 1, "Buy.")]
    others: tuple[Part, ...] = ("schema", "parser")
    changed, unchanged = (
        DeliberationComparison(parts, None, abstention("x")) for parts in (("prompts",), others)
    )
    assert changed.first_call(recorded, remade) is None and changed.explained.keys() == {"prompts"}
    assert unchanged.first_call(recorded, remade) and not unchanged.explained


@pytest.mark.parametrize("message", [0, 1])
def test_other_prompt_of_an_older_version_is_a_difference(
    by_rules: RunFolder, older: Forge, message: int
) -> None:
    folder = older(by_rules)
    _reword_schemas(folder)
    with forging(folder, named=True) as lines:
        lines[4] = with_message(lines[4], message, "Buy.")
    difference = require_difference(folder)
    assert difference.deliberation == lines[4].deliberation
    assert difference.what == f"request message {message + 1} at character 1"
    code, text = _replay(folder)
    assert code == 1
    assert "differs at deliberation" in text and "; version 0.2.9 rendered them; since then" in text


def test_other_limit_of_an_older_request_is_a_difference(by_rules: RunFolder, older: Forge) -> None:
    folder = older(by_rules)
    with forging(folder, named=True) as lines:
        request = lines[4].request
        assert request
        request = msgspec.structs.replace(request, max_tokens=7)
        lines[4] = msgspec.structs.replace(lines[4], request=request)
    assert require_difference(folder).what == "request max_tokens"


def test_forged_answer_of_an_older_version_is_a_difference(by_rules: RunFolder, older: Forge) -> None:
    folder = older(by_rules)
    with forging(folder, named=False) as lines:
        lines[2] = with_answer(lines[2], "I would rather not.")
    assert require_difference(folder).what == "decision calls"
    with forging(folder, named=False) as lines:
        lines[2] = with_answer(lines[2], ANSWER)
    assert require_difference(folder).deliberation == lines[2].deliberation


def test_other_decision_of_an_older_version_is_a_difference(by_rules: RunFolder, older: Forge) -> None:
    folder = older(by_rules)

    def decide(lines: Lines) -> None:
        first(lines, type="decision", number=4)["event"]["verdict"] = "abstain"

    rewrite(folder, decide)
    assert require_difference(folder).what == "decision verdict"


def test_lost_call_of_an_older_version_is_a_difference(by_script: RunFolder, older: Forge) -> None:
    folder = older(by_script)
    with forging(folder, named=False) as lines:
        lines.pop(_index(folder, call=1))
    assert replayed(folder)
