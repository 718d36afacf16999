"""Every prompt that a run had: those that it began with, and those that were edited on the way."""

from dataclasses import dataclass

from autohedge.core.errors import Misconfigured
from autohedge.core.events import AnyEvent, DeliberationRequested, PromptsChanged
from autohedge.journal import RunFolder
from autohedge.journal.genesis import Genesis
from autohedge.prompts.library import parse


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A prompt as the run used it, for questions from number `since` on.

    `version` is None where this release cannot read the file. `at_ns` is when it was edited, 0 for what the run
    began with.
    """

    name: str
    version: int | None
    hash: str
    file: str
    at_ns: int = 0
    since: int = 1


class PromptHistory:
    """Follows a journal; `files` are in the order in which they came into force."""

    def __init__(self, folder: RunFolder, genesis: Genesis) -> None:
        """Raises Corrupt for a file that is missing or was changed."""
        self._folder = folder
        self._last_question = 0
        first = genesis.agents.prompts
        self.files = [_prompt(folder, *named) for named in sorted(first.items())]

    def take(self, event: AnyEvent | None) -> None:
        """Follow one line. Raises Corrupt for a file that is missing or was changed."""
        match event:
            case DeliberationRequested():
                self._last_question = max(self._last_question, event.number)
            case PromptsChanged():
                for name, file in sorted(event.prompts.items()):
                    self.files.append(_prompt(self._folder, name, file, event.at_ns, self._last_question + 1))


def _prompt(folder: RunFolder, name: str, file: str, at_ns: int = 0, since: int = 1) -> PromptVersion:
    path = folder.stored_file(file)
    try:
        version = parse(name, path.read_bytes().decode(), str(path)).version
    except (Misconfigured, UnicodeDecodeError):
        version = None
    return PromptVersion(name, version, path.stem, file, at_ns, since)
