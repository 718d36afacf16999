"""The first line of a journal: what the run was made of."""

from typing import Any

import msgspec

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.journal.chain import JournalLine

FORMAT = 3


class AgentsManifest(msgspec.Struct, frozen=True):
    """Who answers the questions of a run, and from which files: prompts and headlines by their stored names.

    `markets` is the hash of the tape of each symbol. All of it is empty for a run that asks nothing.
    """

    provider: str
    prompts: dict[str, str]
    model: str = ""
    server: str = ""
    headlines: str | None = None
    markets: dict[str, str] = {}


class Genesis(msgspec.Struct, frozen=True):
    """Versions of all that computes, names of the stored files, and each stream's origin.

    `code` is a hash of the sources that can end up in compiled code; `slow` says who answered questions, and which
    prompts and headlines they were asked with, None for a run that asked nothing.
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
    slow: dict[str, Any] | None = None

    @property
    def agents(self) -> AgentsManifest:
        """Who answers the questions of this run. Raises Corrupt if that is damaged."""
        if self.slow is None:
            return AgentsManifest("", {})
        try:
            return msgspec.convert(self.slow, AgentsManifest)
        except msgspec.ValidationError as error:
            raise Corrupt(f"the journal's genesis is damaged: {error}") from None

    @classmethod
    def of(cls, line: JournalLine) -> "Genesis":
        """The genesis of a journal's first line.

        Raises Corrupt if it is none, Misconfigured for a format that this version cannot read.
        """
        try:
            genesis = msgspec.convert(line.genesis, cls)
        except msgspec.ValidationError as error:
            raise Corrupt(f"the journal's genesis is damaged: {error}") from None
        if genesis.format != FORMAT:
            msg = f"this run has record format {genesis.format}, made by autohedge {genesis.autohedge}"
            raise Misconfigured(f"{msg}; this version reads format {FORMAT}: use that one")
        return genesis
