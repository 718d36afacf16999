"""Prompt files: parsing, errors with their line, and rendering of fields."""

from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.errors import Misconfigured
from autohedge.prompts import (
    FIELDS,
    Prompt,
    builtin_names,
    is_builtin,
    load,
    parse,
    render,
    require_known_prompts,
)

HEAD = "---\nversion: 3\ntemperature: 0.5\nmax_tokens: 20\n---\n"
BODY = "# System\n\nBe brief: {{}}.\n\n# User\n\n{symbol} at {at}\n{table}\n"
# A small model reads about 110 tokens per second on a CPU: three seconds for the text alone.
MOST_CHARACTERS = 350 * 3


def parsed(text: str = HEAD + BODY) -> Prompt:
    return parse("p", text, "p.md")


def test_a_prompt_is_read_from_its_file() -> None:
    prompt = parsed()
    assert (prompt.name, prompt.version, prompt.temperature, prompt.max_tokens) == ("p", 3, 0.5, 20)
    assert (prompt.system, prompt.user) == ("Be brief: {{}}.", "{symbol} at {at}\n{table}")
    assert dict(prompt.fields) == {"symbol": 12, "at": 12, "table": 13}
    assert prompt.hash == blake2b((HEAD + BODY).encode(), digest_size=32).hexdigest()[:32]
    assert prompt.origin == "p.md"


def test_rendering_fills_fields_and_halves_doubled_braces() -> None:
    assert render(parsed(), {"symbol": "X", "at": "now", "table": "T", "unused": "U"}) == (
        "Be brief: {}.",
        "X at now\nT",
    )


@given(st.text(), st.text())
def test_values_are_never_read_as_templates(symbol: str, table: str) -> None:
    filled = render(parsed(), {"symbol": symbol, "at": "{table}", "table": table})
    assert filled == ("Be brief: {}.", f"{symbol} at {{table}}\n{table}")


def test_doubled_braces_can_stand_beside_a_field() -> None:
    odd = parsed(HEAD + BODY.replace("{table}", "{{{table}}}"))
    assert render(odd, {"symbol": "X", "at": "now", "table": "T"})[1] == "X at now\n{T}"


def test_windows_line_ends_and_bom_change_only_the_hash() -> None:
    plain, odd = parsed(), parsed("\ufeff" + (HEAD + BODY).replace("\n", "\r\n"))
    assert (plain.system, plain.user, plain.fields) == (odd.system, odd.user, odd.fields)
    assert plain.hash != odd.hash


def complaint(text: str) -> str:
    try:
        parsed(text)
    except Misconfigured as error:
        return str(error)
    return ""


WRONG = [
    ("", 1, "begins with a front matter"),
    ("# System\n", 1, "begins with a front matter"),
    ("---\nversion: 1\n", 1, "begins with a front matter"),
    (HEAD.replace("version: 3\n", "") + BODY, 4, "without version"),
    (HEAD.replace("version: 3", "version: three") + BODY, 2, "whole number"),
    (HEAD.replace("version: 3", "version: 0") + BODY, 2, "whole number"),
    (HEAD.replace("version: 3", "version: " + "9" * 5000) + BODY, 2, "whole number"),
    (HEAD.replace("0.5", "nan") + BODY, 3, "from 0 to 2"),
    (HEAD.replace("0.5", "2.1") + BODY, 3, "from 0 to 2"),
    (HEAD.replace("0.5", "") + BODY, 3, "from 0 to 2"),
    (HEAD.replace("max_tokens: 20", "max_tokens: 2.5") + BODY, 4, "whole number"),
    (HEAD.replace("max_tokens", "max_token") + BODY, 4, "did you mean max_tokens?"),
    (HEAD.replace("version: 3", "version 3") + BODY, 2, "write key: value"),
    (HEAD.replace("---\nv", "---\nversion: 1\nv") + BODY, 3, "twice"),
    (HEAD + "Hello\n" + BODY, 6, "before the first section"),
    (HEAD + BODY.replace("# User", "# Usr"), 10, "did you mean User?"),
    (HEAD + BODY + "# User\nagain\n", 14, "twice"),
    (HEAD + "# User\nx", 7, "without text under # System"),
    (HEAD + "# System\nx\n# User\n \n", 10, "without text under # User"),
    (HEAD + BODY.replace("{table}", "{tabel}"), 13, "did you mean table?"),
    (HEAD + BODY.replace("{table}", "{table!r}"), 13, "a single {"),
    (HEAD + BODY.replace("{table}", "{table.__class__}"), 13, "a single {"),
    (HEAD + BODY.replace("{table}", "{0}"), 13, "a single {"),
    (HEAD + BODY.replace("{table}", "table}"), 13, "a single }"),
    (HEAD + BODY.replace("{table}", "{{{table}}"), 13, "a single }"),
]


@pytest.mark.parametrize(("text", "line", "expected"), WRONG)
def test_invalid_prompt_is_reported_with_file_and_line(text: str, line: int, expected: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        parsed(text)
    assert str(raised.value).startswith(f"p.md, line {line}: ")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.untrusted])
def test_untrusted_field_is_refused_in_system_and_allowed_in_user_part(name: str) -> None:
    assert name in parsed(HEAD + BODY + f"{{{name}}}\n").fields
    with pytest.raises(Misconfigured, match=f"p.md, line 8: {{{name}}} is untrusted"):
        parsed(HEAD + BODY.replace("{{}}", f"{{{name}}}"))


def test_untrusted_fields_are_headlines_lessons_and_thesis() -> None:
    assert {name for name, field in FIELDS.items() if field.untrusted} == {"headlines", "lessons", "thesis"}


def test_a_field_without_a_value_is_named_with_its_line() -> None:
    with pytest.raises(Misconfigured, match=r"p.md, line 13: no value was given for \{table\}"):
        render(parsed(), {"symbol": "X", "at": "now"})


@given(st.text())
def test_any_text_is_a_prompt_or_one_line_of_complaint(text: str) -> None:
    for each in (text, HEAD + text, HEAD + "# System\n" + text + "\n# User\nx"):
        assert len(complaint(each).splitlines()) <= 1


def test_file_in_folder_replaces_builtin_prompt(tmp_path: Path) -> None:
    assert is_builtin(load("director", tmp_path))
    own = tmp_path / "director.md"
    own.write_text(HEAD + BODY)
    prompt = load("director", tmp_path)
    assert (prompt.version, prompt.origin, is_builtin(prompt)) == (3, str(own), False)


@pytest.mark.parametrize("name", ["direktor", "../library", "README", "", "Director"])
def test_unknown_prompt_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="there are director, execution, learning, quant, risk"):
        load(name, tmp_path)


def test_prompt_read_by_no_agent_is_refused_with_suggestion(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("about these files")
    (tmp_path / "director.md").write_text("x")
    require_known_prompts(tmp_path)
    (tmp_path / "directer.md").write_text("x")
    with pytest.raises(Misconfigured, match=r"directer.md: no agent reads it \(did you mean director\?\)"):
        require_known_prompts(tmp_path)


def test_a_prompt_in_utf_16_is_read(tmp_path: Path) -> None:
    text = load("director").origin
    (tmp_path / "director.md").write_text(Path(text).read_text(encoding="utf-8"), encoding="utf-16")
    assert load("director", tmp_path).hash == load("director").hash


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "director.md").write_bytes(b"Caf\xe9")
    with pytest.raises(Misconfigured, match="save it as UTF-8"):
        load("director", tmp_path)


@pytest.mark.parametrize("name", builtin_names())
def test_builtin_prompts_are_valid_and_short(tmp_path: Path, name: str) -> None:
    prompt = load(name, tmp_path)
    assert len(prompt.system) + len(prompt.user) <= MOST_CHARACTERS


REQUESTED_FIELDS = {
    "director": (
        "decision",
        "symbol",
        "direction",
        "confidence_pct",
        "thesis",
        "key_levels",
        "horizon_minutes",
    ),
    "learning": ("expected", "happened", "lesson", "evidence", "valid_for_minutes"),
}


@pytest.mark.parametrize("name", REQUESTED_FIELDS)
def test_builtin_prompts_request_every_field_of_answer(tmp_path: Path, name: str) -> None:
    system = load(name, tmp_path).system
    assert all(f'"{field}":' in system for field in REQUESTED_FIELDS[name])
