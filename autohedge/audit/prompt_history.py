"""All prompts of a run: those at its start, and those edited during it."""

from dataclasses import dataclass

from autohedge.core.errors import Misconfigured
from autohedge.core.events import AnyEvent, DeliberationRequested, PromptsChanged
from autohedge.journal import RunFolder
from autohedge.journal.genesis import Genesis
from autohedge.prompts.library import parse


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A prompt as the run used it, for questions from number `since` on.

    `version` is None if this release cannot parse the file. `at_ns` is when the edit was applied, 0 for a
    prompt at the start of the run.
    """

    name: str
    version: int | None
    hash: str
    file: str
    at_ns: int = 0
    since: int = 1


class PromptHistory:
    """Collects the prompts of a journal; `files` are in the order in which they came into force."""

    def __init__(self, folder: RunFolder, genesis: Genesis) -> None:
        """Starts with the prompts of the genesis. Raises Corrupt if a file is missing or was changed."""
        self._folder = folder
        self._last_question = 0
        first = genesis.agents_manifest.prompts
        self.files = [_prompt(folder, *named) for named in sorted(first.items())]

    def take(self, event: AnyEvent | None) -> None:
        """Takes in the next event. Raises Corrupt if a file is missing or was changed."""
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
        # Another release may have had other fields; its prompts must not keep the record from being audited.
        version = None
    return PromptVersion(name, version, path.stem, file, at_ns, since)
