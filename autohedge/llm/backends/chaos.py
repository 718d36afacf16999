"""Seeded fault injection: another backend's answers with the faults known of models and servers."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

import msgspec

from autohedge.core.errors import Misconfigured
from autohedge.core.ids import Randomness, seeded_random
from autohedge.llm.backend import FailureCode, LLMBackend, LLMError, LLMRequest, LLMResponse

Corruption = Callable[[LLMRequest, LLMResponse, Randomness], LLMResponse]

# Every number of an answer is replaced by one of `_BEYOND`, which lie outside most fields' ranges.
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BEYOND = ("-1", "101", "1e15", "-0.5", "999999999")
_WRONG = "NO/SUCH"


def _text(answer: LLMResponse, text: str) -> LLMResponse:
    return msgspec.structs.replace(answer, text=text)


def _prose(_: LLMRequest, answer: LLMResponse, chance: Randomness) -> LLMResponse:
    opening = chance.choice(
        ("I would buy here, the market looks strong.", "As a model I see no clear trend.")
    )
    return _text(answer, f"{opening} What do you think?")


def _truncated(_: LLMRequest, answer: LLMResponse, chance: Randomness) -> LLMResponse:
    cut = answer.text[: chance.randrange(max(len(answer.text), 1))]
    return msgspec.structs.replace(answer, text=cut, finish_reason="length")


def _fenced(_: LLMRequest, answer: LLMResponse, __: Randomness) -> LLMResponse:
    return _text(answer, f"Here is the answer:\n```json\n{answer.text}\n```\n")


def _withdrawn(_: LLMRequest, answer: LLMResponse, __: Randomness) -> LLMResponse:
    return _text(answer, f"{answer.text}\nWait: the fees are larger than this move. Do not trade.")


def _thinking(_: LLMRequest, answer: LLMResponse, __: Randomness) -> LLMResponse:
    return _text(answer, f"<think>Is {{this}} right?</think>{answer.text}")


def _out_of_range(_: LLMRequest, answer: LLMResponse, chance: Randomness) -> LLMResponse:
    return _text(answer, _NUMBER.sub(lambda _: chance.choice(_BEYOND), answer.text))


def _wrong_symbol(request: LLMRequest, answer: LLMResponse, _: Randomness) -> LLMResponse:
    return _text(answer, answer.text.replace(request.symbol, _WRONG) if request.symbol else answer.text)


def _empty(_: LLMRequest, answer: LLMResponse, __: Randomness) -> LLMResponse:
    return _text(answer, "")


def _refusal(_: LLMRequest, answer: LLMResponse, __: Randomness) -> LLMResponse:
    return msgspec.structs.replace(answer, text="", refusal="I cannot give financial advice.")


_HARMS: dict[str, Corruption] = {
    "prose": _prose,
    "truncated": _truncated,
    "fenced": _fenced,
    "thinking": _thinking,
    "withdrawn": _withdrawn,
    "out_of_range": _out_of_range,
    "wrong_symbol": _wrong_symbol,
    "empty": _empty,
    "refusal": _refusal,
}
CODES: tuple[FailureCode, ...] = get_args(FailureCode)
FAULTS: tuple[str, ...] = (*_HARMS, *CODES)


class ChaosBackend:
    """Corrupts the fraction `share` of another backend's answers.

    The fault of the n-th request with the same prompt depends only on `nonce`, the prompt and n, not on the
    order in which different prompts arrive. Raises Misconfigured for a fault that is not in FAULTS.
    """

    name = "chaos"
    server = "chaos"

    def __init__(
        self, backend: LLMBackend, nonce: str, *, share: float = 0.5, faults: Sequence[str] = FAULTS
    ) -> None:
        unknown = sorted(set(faults) - set(FAULTS))
        if unknown or not faults:
            raise Misconfigured(
                f"no such fault: {', '.join(unknown) or 'none given'}; there are {', '.join(FAULTS)}"
            )
        self.model = backend.model
        self._backend, self._nonce, self._share, self._faults = backend, nonce, share, faults
        self._request_counts: Counter[str] = Counter()

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Returns the wrapped backend's answer, possibly corrupted. Raises LLMError, possibly injected."""
        chance = self._chance(request)
        if chance.random() >= self._share:
            return await self._backend.complete(request)
        fault = chance.choice(self._faults)
        # A loop instead of `fault in CODES`, so that the type checker knows that `code` is a FailureCode.
        for code in CODES:
            if code == fault:
                raise LLMError(code, f"chaos: {code}", chance.choice((0.0, 2.0)))
        return _HARMS[fault](request, await self._backend.complete(request), chance)

    async def close(self) -> None:
        """Closes the wrapped backend."""
        await self._backend.close()

    def _chance(self, request: LLMRequest) -> Randomness:
        request_key = f"{request.agent} {request.symbol} {request.prompt_hash}"
        self._request_counts[request_key] += 1
        return seeded_random(self._nonce, f"chaos {request_key} {self._request_counts[request_key]}")
