"""The structured-output mode that a model supports, measured once and cached on disk.

Servers differ, and some accept a mode that they do not enforce. `json_schema` is tried first, then
`json_object`; plain `text` needs no test. The schema of the test has a key that no model could guess.
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
# An update of the server or the model can change what it supports.
CACHE_TTL_NS = 30 * NS_PER_DAY

# A model answers with this key only if the server enforces the schema: the question does not mention it.
_KEY = "blue_7f3"
SCHEMA: dict[str, Any] = {
    "title": "Probe",
    "type": "object",
    "properties": {_KEY: {"type": "boolean"}},
    "required": [_KEY],
    "additionalProperties": False,
}


class ModelCapability(msgspec.Struct, frozen=True):
    """The output mode of one model at one address, and when it was measured."""

    base_url: str
    model: str
    server: str
    form: OutputMode
    probed_ns: int


def weaker(form: OutputMode) -> OutputMode | None:
    """Returns the next weaker mode, or None below `text`."""
    later = FORMS[FORMS.index(form) + 1 :]
    return later[0] if later else None


def probe_request(form: OutputMode) -> LLMRequest:
    """Returns a short request that tests a mode; only an enforced schema makes a model use its key."""
    message = Message("user", "Is the sky blue? Answer in JSON.")
    return LLMRequest("probe", "", (message,), SCHEMA, 0.0, 200, prompt_hash=f"probe {form}", snapshot="")


class Probeable(Protocol):
    """A model that can be queried in each output mode."""

    async def ask(self, request: LLMRequest, form: OutputMode) -> LLMResponse:
        """Sends the request in one mode. Raises LLMError; FormatRefused if the server rejects the mode."""
        ...


async def probe(model: Probeable) -> OutputMode:
    """Returns the strongest mode that a model supports; `text` always works and is not tested.

    Raises LLMError if the server fails for another reason: the mode is then unknown.
    """
    for form in FORMS[:-1]:
        with suppress(FormatRefused):  # the next weaker mode is tried
            answer = await model.ask(probe_request(form), form)
            if _honours(form, answer.text) or _was_cut_in_thought(answer):
                return form
    return "text"


def _was_cut_in_thought(answer: LLMResponse) -> bool:
    """Whether a reasoning model used up its tokens before the answer: the server did accept the mode."""
    return answer.finish_reason == "length" and not answer.text.strip()


def _honours(form: OutputMode, text: str) -> bool:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    # json_object promises a JSON object and nothing about its keys.
    return form == "json_object" or (set(value) == {_KEY} and isinstance(value[_KEY], bool))


def load(base_url: str, model: str) -> ModelCapability | None:
    """Returns the cached capability; None if it is missing, expired, damaged or of another model."""
    try:
        cached = msgspec.json.decode(_file(base_url, model).read_bytes(), type=ModelCapability)
    except (OSError, ValueError, RecursionError):
        return None
    # The file name is a hash of both, but the file may have been copied. A date in the future means that the
    # clock was set back, so the age is unknown and the model is measured again.
    fits = (cached.base_url, cached.model) == (base_url, model)
    return cached if fits and 0 <= wall_ns() - cached.probed_ns < CACHE_TTL_NS else None


def store(found: ModelCapability) -> ModelCapability:
    """Stores a capability with the current time; if that fails, the next run probes again."""
    dated = msgspec.structs.replace(found, probed_ns=wall_ns())
    with suppress(OSError):
        _replace(_file(found.base_url, found.model), msgspec.json.encode(dated))
    return dated


def _file(base_url: str, model: str) -> Path:
    root = os.environ.get("AUTOHEDGE_CACHE_DIR") or platformdirs.user_cache_dir("autohedge")
    name = blake2b(msgspec.json.encode((base_url, model)), digest_size=16).hexdigest()
    return Path(root) / "models" / f"{name}.json"


def _replace(path: Path, content: bytes) -> None:
    """Writes a temporary file and renames it, so that a reader sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix="probe-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
