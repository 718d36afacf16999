"""Prompt files: Markdown with front matter, a `# System` and a `# User` part, and fields like `{table}`.

`./prompts/NAME.md` replaces the packaged file of that name. A file is parsed line by line, so that every
error names its line. A rendered value is never parsed as a template.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NoReturn

from autohedge.core.errors import Misconfigured
from autohedge.core.text import decode_text, did_you_mean
from autohedge.prompts.fields import FIELDS

FOLDER = Path("prompts")
PACKAGED = Path(__file__).parent
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
# One pattern for checks and rendering, so that both find the same: doubled braces, fields, single braces.
_BRACE = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}|[{}]")
_RULE = "---"
_SECTIONS = ("System", "User")
_KEYS = {"version": 1, "temperature": 0.2, "max_tokens": 300}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt; `system` and `user` are templates.

    `fields` maps each field in them to the line of its first use. `hash` is the first 32 hex digits of the
    BLAKE2b-256 of the file's bytes, `origin` the file's path.
    """

    name: str
    version: int
    temperature: float
    max_tokens: int
    system: str
    user: str
    fields: Mapping[str, int] = field(hash=False)
    hash: str
    origin: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a prompt file with its number and path."""

    text: str
    number: int
    origin: str

    def fail(self, why: str) -> NoReturn:
        raise Misconfigured(f"{self.origin}, line {self.number}: {why}")


def builtin_names() -> tuple[str, ...]:
    """Returns the names of all prompts that the agents use."""
    return tuple(sorted(path.stem for path in PACKAGED.glob("*.md")))


def require_known_prompts(folder: Path = FOLDER) -> None:
    """Refuses a prompt in `folder` that replaces no packaged one, because no agent would use it.

    Names that are no prompt names, such as README.md, are ignored.
    """
    for path in sorted(folder.glob("*.md")):
        if _NAME.fullmatch(path.stem) and path.stem not in builtin_names():
            raise Misconfigured(
                f"{path}: no agent reads it{_hint(path.stem, builtin_names())}; rename or remove it"
            )


def is_builtin(prompt: Prompt) -> bool:
    """Returns whether the prompt is the one of this release."""
    return prompt.origin == str(builtin_path(prompt.name))


def builtin_path(name: str) -> Path:
    """Returns the path of the packaged prompt of that name."""
    return PACKAGED / f"{name}.md"


def load(name: str, folder: Path = FOLDER) -> Prompt:
    """Returns the prompt of that name: from `folder` if it is there, else the packaged one.

    Raises Misconfigured for an unknown name, and as `parse` does.
    """
    text, origin = read(name, folder)
    return parse(name, text, origin)


def read(name: str, folder: Path = FOLDER) -> tuple[str, str]:
    """Returns the unchecked text of the prompt of that name, and the path of its file.

    Raises Misconfigured for an unknown name, and for a file that cannot be read.
    """
    path = folder / f"{name}.md"
    if not _NAME.fullmatch(name) or not (path.is_file() or builtin_path(name).is_file()):
        raise Misconfigured(
            f"there is no prompt {name}{_hint(name, builtin_names())}; there are {', '.join(builtin_names())}"
        )
    path = path if path.is_file() else builtin_path(name)
    return _read(path), str(path)


def parse(name: str, text: str, origin: str) -> Prompt:
    """Parses and checks the text of a prompt file.

    Raises Misconfigured with file and line for an invalid front matter, a missing or unknown section, a brace
    that is not part of a field, an unknown field, or an untrusted one in the system part.
    """
    lines = _lines(text, origin)
    head, body = _front_matter(lines)
    sections = _sections(body, lines[-1])
    fields = _fields(sections)
    return Prompt(
        name=name,
        version=_whole(head, "version", 10**6),
        temperature=_temperature(head["temperature"]),
        max_tokens=_whole(head, "max_tokens", 10**6),
        system=_joined(sections["System"]),
        user=_joined(sections["User"]),
        fields=fields,
        hash=blake2b(text.encode(), digest_size=32).hexdigest()[:32],
        origin=origin,
    )


def render(prompt: Prompt, fields: Mapping[str, str]) -> tuple[str, str]:
    """Returns the system and the user part with every field replaced, in one pass.

    Raises Misconfigured with file and line if a field that the template names is missing.
    """
    for name, number in prompt.fields.items():
        if name not in fields:
            _Line("", number, prompt.origin).fail(f"no value was given for {{{name}}}")
    return _filled(prompt.system, fields), _filled(prompt.user, fields)


def _filled(template: str, fields: Mapping[str, str]) -> str:
    # One substitution: a value with braces in it is inserted as it is and never parsed.
    return _BRACE.sub(lambda found: fields[found[1]] if found[1] else found[0][0], template)


def _read(path: Path) -> str:
    try:
        return decode_text(path.read_bytes(), path)
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}; a prompt is a text file") from None


def _lines(text: str, origin: str) -> list[_Line]:
    # Not splitlines(): it also splits at characters that an editor counts as part of a line.
    texts = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    return [_Line(each, number, origin) for number, each in enumerate(texts, 1)]


def _front_matter(lines: list[_Line]) -> tuple[dict[str, _Line], list[_Line]]:
    """Returns the value of each key as a line, and the lines after the front matter."""
    rules = [index for index, line in enumerate(lines) if line.text.strip() == _RULE]
    if len(rules) < 2 or rules[0] != 0:
        lines[0].fail("a prompt begins with a front matter: key: value lines between two lines of ---")
    head: dict[str, _Line] = {}
    for line in lines[1 : rules[1]]:
        _take_key(head, line)
    for key, example in _KEYS.items():
        if key not in head:
            lines[rules[1]].fail(f"the front matter ends without {key}; add a line {key}: {example}")
    return head, lines[rules[1] + 1 :]


def _take_key(head: dict[str, _Line], line: _Line) -> None:
    if not line.text.strip():
        return
    key, colon, value = (part.strip() for part in line.text.partition(":"))
    if not colon:
        line.fail(f"write key: value, for example version: 1, not {line.text.strip()[:40]!r}")
    if key not in _KEYS:
        line.fail(f"unknown key {key[:40]!r}{_hint(key, _KEYS)}; the keys are {', '.join(_KEYS)}")
    if key in head:
        line.fail(f"{key} is given twice; keep one")
    head[key] = _Line(value, line.number, line.origin)


def _whole(head: Mapping[str, _Line], key: str, most: int) -> int:
    line = head[key]
    value = int(line.text) if line.text.isdecimal() and len(line.text) < 10 else 0
    if not 1 <= value <= most:
        line.fail(f"{key} is a whole number from 1 to {most}, not {line.text[:40]!r}")
    return value


def _temperature(line: _Line) -> float:
    try:
        value = float(line.text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 2:
        line.fail(f"temperature is a number from 0 to 2, not {line.text[:40]!r}")
    return value


def _sections(body: list[_Line], last: _Line) -> dict[str, list[_Line]]:
    """Returns the lines of each section by its name."""
    sections: dict[str, list[_Line]] = {}
    for line in body:
        if line.text.startswith("# "):
            _open_section(sections, line)
        elif sections:
            next(reversed(sections.values())).append(line)
        elif line.text.strip():
            line.fail("text before the first section; put it under # System or # User")
    for name in _SECTIONS:
        if not any(line.text.strip() for line in sections.get(name, ())):
            last.fail(f"the file ends without text under # {name}; add it")
    return sections


def _open_section(sections: dict[str, list[_Line]], line: _Line) -> None:
    name = line.text[2:].strip()
    if name not in _SECTIONS:
        line.fail(
            f"unknown section {name[:40]!r}{_hint(name, _SECTIONS)}; the sections are # System and # User"
        )
    if name in sections:
        line.fail(f"# {name} is given twice; keep one")
    sections[name] = []


def _fields(sections: Mapping[str, list[_Line]]) -> dict[str, int]:
    fields: dict[str, int] = {}
    for section in _SECTIONS:
        for line in sections[section]:
            for name in _named(line):
                _check_field(name, section, line)
                fields.setdefault(name, line.number)
    return fields


def _named(line: _Line) -> Iterator[str]:
    """Yields the fields of a line; a single brace that is not part of a field is an error."""
    for found in _BRACE.finditer(line.text):
        if found[0] in ("{", "}"):
            place = f"a single {found[0]} at column {found.start() + 1}"
            line.fail(f"{place}; double it, or write a field such as {{table}}")
        if found[1]:
            yield found[1]


def _check_field(name: str, section: str, line: _Line) -> None:
    if name not in FIELDS:
        line.fail(f"there is no field {{{name}}}{_hint(name, FIELDS)}; there are {', '.join(FIELDS)}")
    if section == "System" and FIELDS[name].untrusted:
        line.fail(f"{{{name}}} is untrusted and not allowed under # System; move it under # User")


def _joined(lines: list[_Line]) -> str:
    return "\n".join(line.text for line in lines).strip()


def _hint(wrong: str, known: Iterable[str]) -> str:
    question = did_you_mean(wrong, known)
    return f" ({question})" if question else ""
