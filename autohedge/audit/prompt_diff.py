"""What a run asked with, held against the prompts of today."""

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
    """One prompt that a run had, and today's of that name; `last` if it was in force at the run's end.

    `origin` and `hash` are today's, empty where no agent of that name is left; `diff` is unified, and empty if both
    are the same to the byte.
    """

    used: PromptVersion
    last: bool
    origin: str
    hash: str
    diff: list[str]

    @property
    def same(self) -> bool:
        """Whether both are the same to the byte."""
        return self.used.hash == self.hash


def compare_prompts(folder: RunFolder) -> list[PromptComparison]:
    """Each agent's prompts in a run, those of its end first, against `./prompts` or the package.

    Raises Corrupt where the record is damaged, Misconfigured for a file of today that cannot be read.
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
    """Lines by line feeds alone: other ends of lines are characters that may differ."""
    return text.split("\n")


def _today(name: str) -> tuple[str, str]:
    known = name in builtin_names() or (FOLDER / f"{name}.md").is_file()
    return read(name) if known else ("", "")
