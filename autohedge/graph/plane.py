"""The slow plane as a run sees it: opened before the record, kept in it, asked, summed up, closed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from autohedge.config import Settings
from autohedge.core.events import Deliberate
from autohedge.core.snapshots import Snapshot
from autohedge.graph.counsel import Loop, VirtualCounsel
from autohedge.graph.deliberator import Resolution
from autohedge.graph.materials import Materials
from autohedge.graph.mind import Mind, Ready
from autohedge.llm.transcript import Transcript, lines_of

Keep = Callable[[bytes, str], str]


def kept(materials: Materials, ready: Ready, keep: Keep) -> dict[str, Any]:
    """What the genesis says of the slow plane; the prompts and headlines go into the run's folder."""
    prompts = {
        name: keep(Path(prompt.origin).read_bytes(), ".md") for name, prompt in materials.prompts.items()
    }
    headlines = materials.tools.headlines
    return {
        "provider": ready.provider,
        "model": ready.model,
        "server": ready.server,
        "prompts": prompts,
        "headlines": keep(Path(headlines).read_bytes(), ".jsonl") if headlines else None,
    }


class VirtualPlane:
    """In the process of the run, for virtual time and for seeded runs on a clock."""

    def __init__(self, settings: Settings) -> None:
        """Raises Misconfigured for a prompt, a file or a provider that cannot work, Unavailable without a server."""
        self._settings = settings
        self.materials = Materials.of(settings)
        self._transcript: Transcript | None = None
        self._loop = Loop()
        try:
            self._mind: Mind = self._loop.run(Mind.open(settings, self.materials, on_tape=True))
        except BaseException:
            self._loop.close()
            raise
        self.ready = self._mind.ready

    def keep(self, keep: Keep) -> dict[str, Any]:
        """What the genesis says of this plane."""
        return kept(self.materials, self.ready, keep)

    def counsel(self, path: Path) -> VirtualCounsel:
        """What answers the run's questions, writing down at `path` what was said."""
        self._transcript = transcript = Transcript(path)

        def write(question: Deliberate, snapshot: Snapshot, resolution: Resolution) -> tuple[str, ...]:
            return transcript.append(
                lines_of(question.number, snapshot, resolution.calls, resolution.outcome, resolution.failure)
            )

        return VirtualCounsel(self._mind, self._settings, self._loop, write)

    def report(self) -> dict[str, Any]:
        """Who answered, and what came of all calls."""
        who: dict[str, Any] = msgspec.to_builtins(self.ready)
        return who | {"calls": self._mind.counts()}

    def close(self) -> None:
        """Let go of the server, the loop and its thread, and of the transcript."""
        self._loop.run(self._mind.close())
        self._loop.close()
        if self._transcript:
            self._transcript.close()
