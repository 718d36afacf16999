"""The verdict of the last `autohedge agents probe` of each configured model, kept in the user's cache folder."""

from contextlib import suppress
from typing import Literal

import msgspec

import autohedge
from autohedge.config import Settings
from autohedge.core.clock import wall_ns
from autohedge.llm.backends.cache_files import cache_file, is_valid, store_file

FOLDER = "probes"
ProbeVerdict = Literal["reads", "answers by position", "ignores the figures", "no valid answers", "undecided"]
READS: ProbeVerdict = "reads"


class ProbeResult(msgspec.Struct, frozen=True):
    """The verdict on a model that answered an agent's question; `configured` are the settings that chose it."""

    configured: tuple[str, ...]
    agent: str
    model: str
    verdict: ProbeVerdict
    probed_ns: int = 0
    version: str = ""

    @classmethod
    def of(cls, settings: Settings, agent: str, model: str, verdict: ProbeVerdict) -> "ProbeResult":
        """Returns the result of a probe under these settings, now."""
        return cls(_configured(settings, agent), agent, model, verdict, wall_ns(), autohedge.__version__)


def store_probe(result: ProbeResult) -> None:
    """Stores a result in place of the last one of the same settings."""
    store_file(cache_file(FOLDER, result.configured), msgspec.json.encode(result))


def last_probe(settings: Settings, agent: str) -> ProbeResult | None:
    """Returns the last result of the model that the settings choose for an agent; None without one, or if it expired."""
    configured = _configured(settings, agent)
    with suppress(OSError, ValueError, RecursionError):
        content = cache_file(FOLDER, configured).read_bytes()
        result = msgspec.json.decode(content, type=ProbeResult)
        # The file name is a hash of these, but the file may have been copied.
        if result.configured == configured and is_valid(result.probed_ns, result.version):
            return result
    return None


def _configured(settings: Settings, agent: str) -> tuple[str, ...]:
    llm = settings.llm
    return llm.provider, llm.base_url, getattr(settings.agents, agent).model or llm.model, agent
