"""Several models behind one interface; each request goes to the model that it names."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse, answer_tokens


class ModelRouter:
    """A default backend, and one for each other model that agents name.

    `name`, `model` and `server` are those of the default backend; each response names the model that
    answered.
    """

    def __init__(self, default: LLMBackend, others: Mapping[str, LLMBackend]) -> None:
        self.name, self.model, self.server = default.name, default.model, default.server
        # The default comes last, so that it wins if `others` has its name too.
        self._backends = {**others, default.model: default}

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Sends the request to the model that it names, or to the default one.

        Raises LLMError, with code `model_gone` for a model that was not opened.
        """
        backend = self._backends.get(request.model or self.model)
        if backend is None:
            opened = ", ".join(self._backends)
            raise LLMError(
                "model_gone", f"{request.model} was not opened, only {opened}; name it in an agent's table"
            )
        return await backend.complete(request)

    def answer_tokens(self, request: LLMRequest) -> int:
        """Returns the longest answer of the model that the request names, in tokens."""
        backend = self._backends.get(request.model or self.model)
        return answer_tokens(backend, request) if backend else request.max_tokens

    async def close(self) -> None:
        """Closes all backends, even if one fails; then raises that failure."""
        async with AsyncExitStack() as stack:
            for backend in self._backends.values():
                stack.push_async_callback(backend.close)
