"""Asking a model only what is not known yet: a request that was answered before, to the byte, is not sent again."""

import math
from collections.abc import Sequence

from autohedge.config.sections import LLM
from autohedge.core.clock import monotonic_ns
from autohedge.llm.asking import LATE, Asker, Sent
from autohedge.llm.backend import LLMBackend, Request
from autohedge.llm.transcript import Line, asked


class Knowing(Asker):
    """Answers a request with the first line of its deliberation that asks the same and was not taken yet, else asks.

    `taken` counts requests that were known, `left` those that were not; their answers took `service_ms`. Where a line says that its answer came too
    late, the time of this deliberation ends, as it did then.
    """

    def __init__(self, backend: LLMBackend, settings: LLM) -> None:
        super().__init__(backend, settings, self._time)
        self._lines: list[Line] = []
        self._late = False
        self.taken = self.left = 0
        self.service_ms = 0.0

    def begin(self, lines: Sequence[Line]) -> None:
        """The next deliberation is one of which these lines are known."""
        self._lines, self._late = [line for line in lines if line.request], False

    async def sent(self, request: Request, deadline: float) -> Sent:
        """What is known; else what the model says."""
        line = self._known(asked(request))
        if line is None:
            self.left += 1
            sent = await super().sent(request, deadline)
            self.service_ms += sent.response.service_ms if sent.response else 0.0
            return sent
        self.taken += 1
        self._lines.remove(line)
        self._late = line.response is not None and line.outcome == LATE
        return Sent(line.response, line.outcome, line.failure, line.tries)

    def _known(self, wanted: bytes) -> Line | None:
        return next((line for line in self._lines if asked(line) == wanted), None)

    def _time(self) -> float:
        return math.inf if self._late else monotonic_ns() / 1e9
