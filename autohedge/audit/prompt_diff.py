"""Compares the prompts of a run with those of today."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff

from autohedge.audit.prompt_history import PromptHistory, PromptVersion
from autohedge.journal import RunFolder
from autohedge.journal.folder import content_name
from autohedge.journal.genesis import Genesis
from autohedge.journal.verification import verified_lines
from autohedge.prompts.library import FOLDER, builtin_names, read


@dataclass(frozen=True, slots=True)
class PromptComparison:
    """One prompt of a run and today's of the same name; `last` is whether it was in force at the run's end.

    `origin` and `hash` are today's, empty if there is no agent of that name any more. `diff` is a unified
    diff, empty if both prompts are equal byte for byte.
    """

    used: PromptVersion
    last: bool
    origin: str
    hash: str
    diff: list[str]

    @property
    def same(self) -> bool:
        """Whether both prompts are equal byte for byte."""
        return self.used.hash == self.hash


def compare_prompts(folder: RunFolder) -> list[PromptComparison]:
    """Compares each agent's prompts in a run, newest first, with those of `./prompts` or the package.

    Raises Corrupt if the record is damaged, Misconfigured if a file of today cannot be read.
    """
    lines = verified_lines(folder)
    versions = PromptHistory(folder, Genesis.of(next(lines)))
    for line in lines:
        versions.take(line.event)
    names = dict.fromkeys(sorted(file.name for file in versions.files))
    return [each for name in names for each in _history(folder, name, versions.files)]


def _history(folder: RunFolder, name: str, files: Iterable[PromptVersion]) -> Iterable[PromptComparison]:
    text, origin = _today(name)
    newest_first = [file for file in files if file.name == name][::-1]
    for used in newest_first:
        # A prompt that is not UTF-8 still has a diff.
        then = folder.stored_file(used.file).read_bytes().decode(errors="backslashreplace")
        hash_now = content_name(text.encode(), "") if origin else ""
        named = (f"{folder.id}/files/{used.file}", origin)
        diff = (
            []
            if hash_now == used.hash
            else list(unified_diff(_lines(then), _lines(text), *named, lineterm=""))
        )
        yield PromptComparison(used, used is newest_first[0], origin, hash_now, diff)


def _lines(text: str) -> list[str]:
    """Splits at line feeds only: a carriage return is content, in which two prompts can differ."""
    return text.split("\n")


def _today(name: str) -> tuple[str, str]:
    known = name in builtin_names() or (FOLDER / f"{name}.md").is_file()
    return read(name) if known else ("", "")
