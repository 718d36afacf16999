"""How one model has to be asked: measured once, adapted when a server refuses it, and cached on disk."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

import autohedge
from autohedge.config.sections import LLMSettings, Reasoning
from autohedge.core.clock import wall_ns
from autohedge.llm import context_window
from autohedge.llm.backend import LLMRequest
from autohedge.llm.backends.cache_files import cache_file, cache_folder, is_valid, store_file
from autohedge.llm.backends.reasoning import thinking_parts

OutputMode = Literal["json_schema", "json_object", "text"]
TokenLimit = Literal["max_tokens", "max_completion_tokens", "num_predict"]
FORMS: tuple[OutputMode, ...] = ("json_schema", "json_object", "text")
FOLDER = "models"


class AnswerSettings(msgspec.Struct, frozen=True):
    """The settings of a model's answers, under which it is measured."""

    max_answer_tokens: int = 0
    reasoning: Reasoning = "auto"
    keep_alive: str = ""
    extra_body: dict[str, Any] = {}
    context_tokens: int = 8192

    @classmethod
    def of(cls, llm: LLMSettings) -> "AnswerSettings":
        """Returns those of `llm`."""
        return cls(
            llm.max_answer_tokens, llm.reasoning, llm.keep_alive, dict(llm.extra_body), llm.context_tokens
        )

    @property
    def key(self) -> str:
        """What distinguishes these settings in the cache; empty for the defaults."""
        given = self.max_answer_tokens, self.reasoning, self.extra_body
        return "" if given == (0, "auto", {}) else msgspec.json.encode(given).decode()


DEFAULTS = AnswerSettings()


class ModelCapability(msgspec.Struct, frozen=True):
    """How one model at one address is asked, and when that was measured; `probed_ns` is 0 if it was not.

    `limit` is the server's name for the longest answer, `temperature` whether one is sent. `least_tokens` is
    how long an answer must be allowed to be, as the model thinks first. `thinking` has the part of the body
    that is sent for each value of `llm.reasoning`; without an entry it is the usual one of the server.
    """

    base_url: str
    model: str
    server: str = "unknown"
    form: OutputMode = FORMS[0]
    probed_ns: int = 0
    limit: TokenLimit = "max_tokens"
    temperature: bool = True
    least_tokens: int = 0
    thinking: dict[str, dict[str, Any]] = {}
    settings: str = ""
    version: str = ""

    @property
    def summary(self) -> str:
        """How the model is asked, in one line."""
        parts = [
            f"{name} {msgspec.json.encode(part).decode()}" for name, part in self.thinking.items() if part
        ]
        facts = (
            f"answers as {self.form}",
            self.limit + (f" at least {self.least_tokens}" if self.least_tokens else ""),
            "a temperature" if self.temperature else "no temperature",
            *(f"reasoning {part}" for part in parts),
            *([f"measured with {self.settings}"] if self.settings else []),
        )
        return ", ".join(facts)

    def thinking_part(self, reasoning: Reasoning) -> dict[str, Any]:
        """Returns the part of the body that sets how much the model thinks."""
        return self.thinking.get(reasoning, self.thinking_parts(reasoning)[0])

    def thinking_parts(self, reasoning: Reasoning) -> tuple[dict[str, Any], ...]:
        """Returns all such parts that the server may take, the most likely first."""
        return thinking_parts("ollama_chat" if self.limit == "num_predict" else self.server, reasoning)

    def with_thinking(self, reasoning: Reasoning, part: dict[str, Any]) -> "ModelCapability":
        """Returns a copy that sends this part."""
        return msgspec.structs.replace(self, thinking={**self.thinking, reasoning: part})

    def answer_tokens(self, request: LLMRequest, context_tokens: int) -> int:
        """Returns the longest answer to allow: that of the request, or what the model needs and fits."""
        free = context_tokens - context_window.prompt_tokens(request)
        return max(request.max_tokens, min(self.least_tokens, free))


def assumed(base_url: str, model: str, server: str, settings: AnswerSettings) -> ModelCapability:
    """Returns what is tried first with a model that was not measured."""
    # OpenAI's newer models reject `max_tokens`; other servers may not know its new name.
    limit: TokenLimit = "max_completion_tokens" if server == "openai" else "max_tokens"
    return ModelCapability(base_url, model, server, limit=limit, settings=settings.key)


def weaker(form: OutputMode) -> OutputMode | None:
    """Returns the next weaker mode, or None below `text`."""
    later = FORMS[FORMS.index(form) + 1 :]
    return later[0] if later else None


def load(base_url: str, model: str, settings: AnswerSettings = DEFAULTS) -> ModelCapability | None:
    """Returns the cached capability; None if it is missing, expired, damaged or of another model."""
    cached = _read(cache_file(FOLDER, (base_url, model, settings.key)))
    # The file name is a hash of these, but the file may have been copied.
    wanted = base_url, model, settings.key
    return cached if cached and (cached.base_url, cached.model, cached.settings) == wanted else None


def stored() -> Iterator[ModelCapability]:
    """Yields all valid capabilities of the cache."""
    with suppress(OSError):
        yield from filter(None, map(_read, sorted(cache_folder(FOLDER).glob("*.json"))))


def store(found: ModelCapability) -> ModelCapability:
    """Stores a capability with the current time; if that fails, the next run probes again."""
    dated = msgspec.structs.replace(found, probed_ns=wall_ns(), version=autohedge.__version__)
    store_file(cache_file(FOLDER, (found.base_url, found.model, found.settings)), msgspec.json.encode(dated))
    return dated


def _read(path: Path) -> ModelCapability | None:
    try:
        cached = msgspec.json.decode(path.read_bytes(), type=ModelCapability)
    except (OSError, ValueError, RecursionError):
        return None
    return cached if is_valid(cached.probed_ns, cached.version) else None
