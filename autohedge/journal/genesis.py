"""The genesis: the first line of a journal, which describes the run."""

from typing import Any, Literal

import msgspec

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.journal.chain import JournalLine
from autohedge.journal.versions import Part, changed_since

FORMAT = 4  # raise it only for changes that docs/record.md does not allow within a format
LAST_READERS = {3: "56d97f319de5b388801e3b0db4893f39508bb359"}
"""The last commit of this repository that reads a format."""


class AgentsManifest(msgspec.Struct, frozen=True):
    """The provider that answered the run's requests, and the stored names of prompts and headlines.

    `markets` has the tape hash of each symbol. All fields are empty for a run without agents.
    """

    provider: str
    prompts: dict[str, str]
    model: str = ""
    server: str = ""
    headlines: str | None = None
    markets: dict[str, str] = {}


class StudyMark(msgspec.Struct, frozen=True):
    """The mark of a run that a what-if simulated: the studied run, and which of the two simulations it is."""

    run: str
    part: Literal["baseline", "variant"]


class Genesis(msgspec.Struct, frozen=True):
    """Versions of everything that computes, names of the stored files, and the origin of each stream.

    `code` is a hash of the sources that can end up in compiled code. `agents` is the agents manifest as JSON,
    None for a run without agents. `study` is None for a run that a person started. `strategy_modules` has the
    stored names of the modules beside a user's strategy, by their relative path; `strategy_module` is the name
    under which the strategy itself was imported, None for a file.
    """

    format: int
    autohedge: str
    code: str
    python: str
    numpy: str
    numba: str
    platform: str
    settings: str
    strategy: str | None
    tape: list[dict[str, Any]]
    agents: dict[str, Any] | None = None
    study: StudyMark | None = None
    strategy_module: str | None = None
    strategy_modules: dict[str, str] = {}

    @property
    def agents_manifest(self) -> AgentsManifest:
        """The agents manifest of this run. Raises Corrupt if it is damaged."""
        if self.agents is None:
            return AgentsManifest("", {})
        try:
            return msgspec.convert(self.agents, AgentsManifest)
        except msgspec.ValidationError as error:
            raise Corrupt(f"the journal's genesis is damaged: {error}") from None

    @property
    def files(self) -> list[str]:
        """The names of all stored files of the run's start. Raises Corrupt if the manifest is damaged."""
        manifest = self.agents_manifest
        names = (self.settings, self.strategy, *self.strategy_modules.values(), manifest.headlines)
        return [name for name in (*names, *manifest.prompts.values()) if name]

    @property
    def has_todays_texts(self) -> bool:
        """Whether the run's version has today's texts of halts, cancels and alerts."""
        return "texts" not in self.changes

    @property
    def changes(self) -> tuple[Part, ...]:
        """The parts of the record that later versions changed."""
        return changed_since(self.autohedge)

    @classmethod
    def of(cls, line: JournalLine) -> "Genesis":
        """Returns the genesis in a journal's first line.

        Raises Corrupt if it is not a genesis, Misconfigured for a format that this version cannot read.
        """
        try:
            maker = msgspec.convert(line.genesis, _Maker)
            if maker.format == FORMAT:
                return msgspec.convert(line.genesis, cls)
        except msgspec.ValidationError as error:
            raise Corrupt(f"the journal's genesis is damaged: {error}") from None
        raise Misconfigured(str(maker))


class _Maker(msgspec.Struct, frozen=True):
    """The part of a genesis that every format has."""

    format: int
    autohedge: str

    def __str__(self) -> str:
        commit = LAST_READERS.get(self.format)
        cure = f"git commit {commit} reads it, see docs/record.md" if commit else "use the one that made it"
        made = f"this run has record format {self.format}, made by autohedge {self.autohedge}"
        return f"{made}; this version reads format {FORMAT}: {cure}"
