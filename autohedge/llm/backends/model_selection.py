"""Opens a model of a server: which one, whether it answers, and how it has to be asked."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from autohedge.core.clock import monotonic_s
from autohedge.core.log import warn
from autohedge.llm.backend import RETRYABLE, LLMError
from autohedge.llm.backends import capabilities
from autohedge.llm.backends.adaptive import AdaptiveBackend
from autohedge.llm.backends.capabilities import AnswerSettings, ModelCapability, assumed
from autohedge.llm.backends.model_listing import Server, chat_models, closest, is_in_state, root_of
from autohedge.llm.backends.parameter_fallbacks import is_about_the_model
from autohedge.llm.backends.probe import UnansweredProbe, probe
from autohedge.llm.error_reports import read_report
from autohedge.llm.errors import llm_error
from autohedge.llm.policy import sleep

if TYPE_CHECKING:
    from autohedge.llm.backends.transport import JsonClient

Backend = TypeVar("Backend", bound=AdaptiveBackend)
# How many models without a name are tried: each may have to be loaded first.
MOST_TRIED = 5
LOADING_STATUS = 503
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class ModelServer(Generic[Backend]):
    """A server of models: how its kind and models are found, and how a backend for one is made."""

    http: "JsonClient"
    identify: Callable[["JsonClient"], Awaitable[Server]]
    backend: Callable[[ModelCapability], Backend]
    settings: AnswerSettings
    timeout_s: float


async def open_model(at: ModelServer[Backend], model: str) -> Backend:
    """Returns a backend whose model is set, and whose way to be asked is known, from the cache or measured.

    If the server is down or busy, a named model is used unmeasured, and is measured in a later run. Without a
    name, a server that is loading is waited for, at most `timeout_s`.

    Raises LLMError if no model is named and none can chat, or if the server rejects the key or the model.
    """
    known = await (_named(at, model) if model else _when_loaded(at))
    return at.backend(known)


async def _named(at: ModelServer[Backend], model: str) -> ModelCapability:
    known, base_url = capabilities.load(at.http.base_url, model, at.settings), at.http.base_url
    if known is not None and known.limit != "num_predict":
        return known
    kind, listed = "unknown", tuple[str, ...]()
    try:
        server = await at.identify(at.http)
        kind, listed = server.kind, server.models
        # A model of Ollama may have been removed since it was measured.
        if known is not None and model in listed:
            return known
        return await _measured(at, model, kind)
    except LLMError as error:
        if error.code in RETRYABLE:
            return known or _start(at, model, kind)
        raise _with_names(error, base_url, model, listed) from None


def _with_names(error: LLMError, base_url: str, model: str, listed: Iterable[str]) -> LLMError:
    """Returns the error with the listed names that are most like the missing one, or with its remedy."""
    if error.code == "bad_request" and is_about_the_model(error):
        return _described(error, base_url, "set llm.model to one that can chat")
    names = closest(model, listed) if error.code == "model_gone" else ""
    return _described(error, base_url, names) if names else error


def _described(error: LLMError, base_url: str, what: str) -> LLMError:
    """Returns the error with `what` before the server's own message; unchanged if the server sent none."""
    if not error.status:
        return error
    # Last, as a long message is shortened at its end.
    answer = f"it answered {error.status}: {read_report(error.body).message}"
    described = llm_error(error.code, base_url, f"{what}; {answer}")
    described.status, described.after_s = error.status, error.after_s
    return described


async def _when_loaded(at: ModelServer[Backend]) -> ModelCapability:
    until_s, announced = monotonic_s() + at.timeout_s, False
    while True:
        try:
            return await _unnamed(at)
        except LLMError as error:
            if error.status != LOADING_STATUS or monotonic_s() + POLL_S >= until_s:
                raise
            if not announced:
                warn(f"waiting for the model server: {error}", at_most_s=at.timeout_s)
            announced = True
        await sleep(POLL_S)


async def _unnamed(at: ModelServer[Backend]) -> ModelCapability:
    """Returns the first model that can chat and answers. Raises the first failure if none does."""
    server = await at.identify(at.http)
    if server.failure is not None:
        raise _described(server.failure, at.http.base_url, "llm.model is empty and the list failed")
    failure: LLMError | None = None
    for model in (await chat_models(at.http, server))[:MOST_TRIED]:
        try:
            cached = capabilities.load(at.http.base_url, model, at.settings)
            return cached or await _measured(at, model, server.kind)
        except LLMError as error:
            if not _is_of_the_model(error):
                raise
            failure = failure or error
    raise failure or await _no_model(at, server)


def _is_of_the_model(error: LLMError) -> bool:
    """Whether another model of the same server may work."""
    if error.code in RETRYABLE:
        return is_about_the_model(error) and error.status != LOADING_STATUS
    return error.code != "unauthorized"


async def _no_model(at: ModelServer[Backend], server: Server) -> LLMError:
    """Returns the error for a server that lists no model that can chat, or not yet."""
    base_url = at.http.base_url
    if any(is_in_state(row, "loading") for row in server.rows) or (not server.rows and await _is_loading(at)):
        loading = llm_error("server_error", base_url, "it is loading and lists no model yet")
        loading.status = LOADING_STATUS
        return loading
    wrong = f"it lists no model that can chat, only {', '.join(server.models[:3])}"
    cure = "; run `ollama pull` first" if server.kind == "ollama" else ""
    return llm_error("model_gone", base_url, wrong if server.models else f"it lists no model{cure}")


async def _is_loading(at: ModelServer[Backend]) -> bool:
    try:
        await at.http.get(f"{root_of(at.http.base_url)}/health")
    except LLMError as error:
        return error.status == LOADING_STATUS
    return False


async def _measured(at: ModelServer[Backend], model: str, kind: str) -> ModelCapability:
    backend = at.backend(_start(at, model, kind))
    try:
        return capabilities.store(await probe(backend, backend.known, at.settings))
    except UnansweredProbe as silent:
        warn(
            f"{model} thinks until its tokens are used up and gave no answer",
            cure="set llm.reasoning=off, raise llm.max_answer_tokens, or name another model",
        )
        # Not stored, so that the next run tries again and warns again.
        return silent.known
    finally:
        await backend.close()


def _start(at: ModelServer[Backend], model: str, kind: str) -> ModelCapability:
    return assumed(at.http.base_url, model, kind, at.settings)
