"""Finds how a model answers, with a few requests: output mode, parameters, and what keeps it from thinking.

Servers differ, and some accept a mode that they do not enforce. `json_schema` is tried first, then
`json_object`, then plain `text`. The schema of the test has a key that no model could guess, and the question
has figures, so that a model that thinks needs more than the tokens of an ordinary answer.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse, Message
from autohedge.llm.backends.capabilities import DEFAULTS, AnswerSettings, ModelCapability, OutputMode, weaker
from autohedge.llm.backends.parameter_fallbacks import REFUSALS, adapted, simpler
from autohedge.llm.backends.reasoning import lost_in_thought, was_cut

# A model answers with this key only if the server enforces the schema: the question does not mention it.
_KEY = "blue_7f3"
SCHEMA: dict[str, Any] = {
    "title": "Probe",
    "type": "object",
    "properties": {_KEY: {"type": "boolean"}},
    "required": [_KEY],
    "additionalProperties": False,
}
_QUESTION = """\
Prices of the last minutes: 3412.5, 3413.1, 3411.8, 3414.0, 3415.2, 3414.6, 3416.3, 3417.0. The spread is 0.9.
Does the price rise by more than the spread, and is the sky blue? Answer in JSON, without an explanation."""
ANSWER_TOKENS = 200
LARGER_TOKENS = (1200, 4096)


class ProbedBackend(Protocol):
    """A model that can be asked in each way."""

    async def ask(self, request: LLMRequest, known: ModelCapability) -> LLMResponse:
        """Sends the request in one way only. Raises LLMError."""
        ...


class UnansweredProbe(LLMError):
    """The model accepts requests, but thinks without an answer in each way that was tried."""

    def __init__(self, known: ModelCapability) -> None:
        super().__init__("garbage_reply", f"{known.model} thinks without an answer")
        self.known = known


def probe_request(settings: AnswerSettings = DEFAULTS) -> LLMRequest:
    """Returns a short request under these settings; only an enforced schema makes a model use its key."""
    return LLMRequest(
        agent="probe",
        symbol="",
        messages=(Message("user", _QUESTION),),
        schema=SCHEMA,
        temperature=0.0,
        max_tokens=settings.max_answer_tokens or ANSWER_TOKENS,
        prompt_hash="probe",
        snapshot="",
        reasoning=settings.reasoning,
        keep_alive=settings.keep_alive,
        extra_body=settings.extra_body,
    )


async def probe(model: ProbedBackend, start: ModelCapability, settings: AnswerSettings) -> ModelCapability:
    """Returns the strongest way in which a model answers, beginning at `start`.

    Raises LLMError if the server refuses all ways or fails otherwise, and UnansweredProbe if the model never answers.
    """
    return await _Prober(model, probe_request(settings), may_raise=not settings.max_answer_tokens).run(start)


@dataclass(slots=True)
class _Prober:
    model: ProbedBackend
    request: LLMRequest
    may_raise: bool  # whether the token limit may be raised; a limit of the user may not

    async def run(self, start: ModelCapability) -> ModelCapability:
        silent: ModelCapability | None = None
        known: ModelCapability | None = start
        while known is not None:
            known, answer = await self._accepted(known)
            if self._content(known.form, answer):
                return known
            works = _works(known.form, answer)
            if works or lost_in_thought(answer):
                better = await self._unthinking(known) or await self._longer(known, answer)
                if better is not None:
                    return better
            if works:
                return known
            silent = silent or (known if lost_in_thought(answer) else None)
            form = weaker(known.form)
            known = None if form is None else msgspec.structs.replace(known, form=form)
        raise UnansweredProbe(silent or start)

    async def _accepted(self, start: ModelCapability) -> tuple[ModelCapability, LLMResponse]:
        """Asks, each time without what the server refused. Raises the first refusal if none is left."""
        known, tried, refusals = start, [start], list[LLMError]()
        options: list[ModelCapability] | None = None
        while True:
            try:
                answer = await self.model.ask(self.request, known)
                break
            except LLMError as error:
                if error.code not in REFUSALS:
                    raise
                refusals.append(error)
                following = adapted(known, error, self.request.reasoning, tried)
                if following is None:
                    if options is None:
                        options = simpler(known, self.request.reasoning, error)
                    following = next((option for option in options if option not in tried), None)
                if following is None:
                    raise refusals[0] from None
                tried.append(known := following)
        if any(error.code == "server_error" for error in refusals):
            # The failure may have passed meanwhile: then nothing was refused.
            again = await self._tried(start)
            if again is not None:
                return start, again
        return known, answer

    async def _unthinking(self, known: ModelCapability) -> ModelCapability | None:
        """Returns how the model answers without thinking, or None."""
        reasoning = self.request.reasoning
        parts, part = known.thinking_parts(reasoning), known.thinking_part(reasoning)
        for other in parts[parts.index(part) + 1 :] if part in parts else ():
            # An empty part would only drop what the user asked for.
            trial = known.with_thinking(reasoning, other)
            answer = await self._tried(trial) if other else None
            if answer and self._content(known.form, answer):
                return trial
        return None

    async def _longer(self, known: ModelCapability, answer: LLMResponse) -> ModelCapability | None:
        """Returns how long an answer must be allowed to be for the model to finish, or None."""
        if not (was_cut(answer) and lost_in_thought(answer) and self.may_raise):
            return None
        self.may_raise = False  # another output mode would not shorten the thoughts
        for tokens in LARGER_TOKENS:
            trial = msgspec.structs.replace(known, least_tokens=tokens)
            longer = await self._tried(trial)
            if longer and _works(known.form, longer):
                return trial
        return None

    async def _tried(self, known: ModelCapability) -> LLMResponse | None:
        try:
            return await self.model.ask(self.request, known)
        except LLMError as error:
            if error.code in REFUSALS | {"timeout", "context_overflow"}:
                return None
            raise

    def _content(self, form: OutputMode, answer: LLMResponse) -> bool:
        """Whether an answer is as wanted; with `off` it must come without thoughts."""
        return _works(form, answer) and not (self.request.reasoning == "off" and answer.reasoning)


def _works(form: OutputMode, answer: LLMResponse) -> bool:
    if lost_in_thought(answer):
        return False
    return form == "text" or _honours(form, answer.text)


def _honours(form: OutputMode, text: str) -> bool:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    # json_object promises a JSON object and nothing about its keys.
    return form == "json_object" or (set(value) == {_KEY} and isinstance(value[_KEY], bool))
