"""Another model's answers, spoiled on purpose in every way that models and servers know; seeded."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

import msgspec

from autohedge.core.errors import Misconfigured
from autohedge.core.ids import Randomness, randomness
from autohedge.llm.backend import Code, LLMBackend, ModelFailure, Request, Response

Harm = Callable[[Request, Response, Randomness], Response]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BEYOND = ("-1", "101", "1e15", "-0.5", "999999999")
_WRONG = "NO/SUCH"


def _text(answer: Response, text: str) -> Response:
    return msgspec.structs.replace(answer, text=text)


def _prose(_: Request, answer: Response, chance: Randomness) -> Response:
    opening = chance.choice(
        ("I would buy here, the market looks strong.", "As a model I see no clear trend.")
    )
    return _text(answer, f"{opening} What do you think?")


def _truncated(_: Request, answer: Response, chance: Randomness) -> Response:
    cut = answer.text[: chance.randrange(max(len(answer.text), 1))]
    return msgspec.structs.replace(answer, text=cut, finish_reason="length")


def _fenced(_: Request, answer: Response, __: Randomness) -> Response:
    return _text(answer, f"Here is the answer:\n```json\n{answer.text}\n```\nGood luck!")


def _thinking(_: Request, answer: Response, __: Randomness) -> Response:
    return _text(answer, f"<think>Is {{this}} right?</think>{answer.text}")


def _out_of_range(_: Request, answer: Response, chance: Randomness) -> Response:
    return _text(answer, _NUMBER.sub(lambda _: chance.choice(_BEYOND), answer.text))


def _wrong_symbol(request: Request, answer: Response, _: Randomness) -> Response:
    return _text(answer, answer.text.replace(request.symbol, _WRONG) if request.symbol else answer.text)


def _empty(_: Request, answer: Response, __: Randomness) -> Response:
    return _text(answer, "")


def _refusal(_: Request, answer: Response, __: Randomness) -> Response:
    return msgspec.structs.replace(answer, text="", refusal="I cannot give financial advice.")


_HARMS: dict[str, Harm] = {
    "prose": _prose,
    "truncated": _truncated,
    "fenced": _fenced,
    "thinking": _thinking,
    "out_of_range": _out_of_range,
    "wrong_symbol": _wrong_symbol,
    "empty": _empty,
    "refusal": _refusal,
}
CODES: tuple[Code, ...] = get_args(Code)
FAULTS: tuple[str, ...] = (*_HARMS, *CODES)


class Chaos:
    """Spoils a share of another backend's answers.

    What happens to the n-th asking of a prompt depends on `nonce`, the prompt and n alone, not on the
    order in which prompts come. Raises Misconfigured for a fault that is none of FAULTS.
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
        self._asked: Counter[str] = Counter()

    async def complete(self, request: Request) -> Response:
        """The other's answer, or what is left of it. Raises ModelFailure, its own and the other's."""
        chance = self._chance(request)
        if chance.random() >= self._share:
            return await self._backend.complete(request)
        fault = chance.choice(self._faults)
        for code in CODES:
            if code == fault:
                raise ModelFailure(code, f"chaos: {code}", chance.choice((0.0, 2.0)))
        return _HARMS[fault](request, await self._backend.complete(request), chance)

    async def close(self) -> None:
        """Close the other."""
        await self._backend.close()

    def _chance(self, request: Request) -> Randomness:
        asked = f"{request.agent} {request.symbol} {request.prompt_hash}"
        self._asked[asked] += 1
        return randomness(self._nonce, f"chaos {asked} {self._asked[asked]}")
