"""Which form of asking for JSON a model honours, measured once and kept on disk.

Servers differ, and what they claim is not what they do: `json_schema` is tried first, then
`json_object`, then plain `text`, each with a schema whose key no model could guess.
"""

import os
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import platformdirs

from autohedge.core.clock import wall_ns
from autohedge.core.units import NS_PER_DAY
from autohedge.llm.backend import LLMRequest, LLMResponse, Message
from autohedge.llm.errors import FormatRefused

OutputMode = Literal["json_schema", "json_object", "text"]
FORMS: tuple[OutputMode, ...] = ("json_schema", "json_object", "text")
CACHE_TTL_NS = 30 * NS_PER_DAY

_KEY = "blue_7f3"
SCHEMA: dict[str, Any] = {
    "title": "Probe",
    "type": "object",
    "properties": {_KEY: {"type": "boolean"}},
    "required": [_KEY],
    "additionalProperties": False,
}


class ModelCapability(msgspec.Struct, frozen=True):
    """What was found about one model behind one address, and when."""

    base_url: str
    model: str
    server: str
    form: OutputMode
    probed_ns: int


def weaker(form: OutputMode) -> OutputMode | None:
    """The next weaker form; None below text."""
    later = FORMS[FORMS.index(form) + 1 :]
    return later[0] if later else None


def probe_request(form: OutputMode) -> LLMRequest:
    """A tiny question in the form to be tried; only a schema that is honoured tells the key of its answer."""
    message = Message("user", "Is the sky blue? Answer in JSON.")
    return LLMRequest("probe", "", (message,), SCHEMA, 0.0, 200, prompt_hash=f"probe {form}", snapshot="")


class Probeable(Protocol):
    """A model that can be asked in each form."""

    async def ask(self, request: LLMRequest, form: OutputMode) -> LLMResponse:
        """Raises LLMError; FormatRefused if the server objects to the form."""
        ...


async def probe(model: Probeable) -> OutputMode:
    """The strongest form that a model honours; text needs no trial.

    Raises LLMError if the server fails otherwise: then nothing is known.
    """
    for form in FORMS[:-1]:
        with suppress(FormatRefused):
            answer = await model.ask(probe_request(form), form)
            if _honours(form, answer.text) or _was_cut_in_thought(answer):
                return form
    return "text"


def _was_cut_in_thought(answer: LLMResponse) -> bool:
    """A model that thinks first can use up the limit before its answer: the form was taken, no more is known."""
    return answer.finish_reason == "length" and not answer.text.strip()


def _honours(form: OutputMode, text: str) -> bool:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    return form == "json_object" or (set(value) == {_KEY} and isinstance(value[_KEY], bool))


def load(base_url: str, model: str) -> ModelCapability | None:
    """What is kept about a model; None if nothing is, or if it is old, damaged or of something else."""
    try:
        cached = msgspec.json.decode(_file(base_url, model).read_bytes(), type=ModelCapability)
    except (OSError, ValueError, RecursionError):
        return None
    fits = (cached.base_url, cached.model) == (base_url, model)
    return cached if fits and 0 <= wall_ns() - cached.probed_ns < CACHE_TTL_NS else None


def store(found: ModelCapability) -> ModelCapability:
    """Keep what was found, dated now; a cache that cannot be written costs another probe, no more."""
    dated = msgspec.structs.replace(found, probed_ns=wall_ns())
    with suppress(OSError):
        _replace(_file(found.base_url, found.model), msgspec.json.encode(dated))
    return dated


def _file(base_url: str, model: str) -> Path:
    root = os.environ.get("AUTOHEDGE_CACHE_DIR") or platformdirs.user_cache_dir("autohedge")
    name = blake2b(msgspec.json.encode((base_url, model)), digest_size=16).hexdigest()
    return Path(root) / "models" / f"{name}.json"


def _replace(path: Path, content: bytes) -> None:
    """Written aside and renamed: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix="probe-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
