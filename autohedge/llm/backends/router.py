"""Several models behind one interface: each request goes to the model that it names."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse


class ModelRouter:
    """A default backend, and one more for each other model that agents name.

    To whoever looks at `name`, `model` and `server` it is the default one; each response says who answered.
    """

    def __init__(self, default: LLMBackend, others: Mapping[str, LLMBackend]) -> None:
        self.name, self.model, self.server = default.name, default.model, default.server
        self._backends = {**others, default.model: default}

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Ask the model that the request names, the default one if it names none.

        Raises LLMError, `model_gone` for a model that was not opened.
        """
        backend = self._backends.get(request.model or self.model)
        if backend is None:
            opened = ", ".join(self._backends)
            raise LLMError(
                "model_gone", f"{request.model} was not opened, only {opened}; name it in an agent's table"
            )
        return await backend.complete(request)

    async def close(self) -> None:
        """Close all, also when one fails; then that failure is raised."""
        async with AsyncExitStack() as stack:
            for backend in self._backends.values():
                stack.push_async_callback(backend.close)
