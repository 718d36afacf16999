"""What can go wrong between a trader and its venue, drawn from one seed.

The draws know nothing of the market or of what is said: the same seed faults the same requests
and pushes, counted from the venue's start.
"""

import difflib
from collections.abc import Iterable
from enum import StrEnum, auto, unique
from typing import Protocol

from autohedge.core.errors import Misconfigured
from autohedge.core.ids import randomness

NS_PER_S = 1_000_000_000
RATE = 0.15
DELAY_MOST_S = 5.0


@unique
class WireFault(StrEnum):
    """Each by the name that `--faults` takes."""

    DROP = auto()
    LOST = auto()
    DELAY = auto()
    THROTTLE = auto()
    BAN = auto()
    ERROR = auto()
    ERROR_AFTER = auto()
    DISCONNECT = auto()
    DROP_PUSH = auto()
    DUPLICATE_PUSH = auto()
    REORDER_PUSH = auto()


MEANING = {
    WireFault.DROP: "acts on a request without a response",
    WireFault.LOST: "does not get a request",
    WireFault.DELAY: "responds late",
    WireFault.THROTTLE: "answers 429",
    WireFault.BAN: "answers 418 for a while",
    WireFault.ERROR: "answers 503 without acting",
    WireFault.ERROR_AFTER: "acts, then answers 503",
    WireFault.DISCONNECT: "acts, then hangs up while orders rest",
    WireFault.DROP_PUSH: "does not tell what happened",
    WireFault.DUPLICATE_PUSH: "tells it twice",
    WireFault.REORDER_PUSH: "tells it after what happened later",
}
OF_PUSHES = (WireFault.DROP_PUSH, WireFault.DUPLICATE_PUSH, WireFault.REORDER_PUSH)
OF_REQUESTS = tuple(fault for fault in WireFault if fault not in OF_PUSHES)


class Faults(Protocol):
    """Decides, once per request and once per push, what goes wrong with it."""

    def of_request(self) -> WireFault | None:
        """What goes wrong with this request."""
        ...

    def of_push(self) -> WireFault | None:
        """What goes wrong with this push."""
        ...

    def delay_ns(self) -> int:
        """How long what is late is held up, on the venue's clock."""
        ...


class SeededFaults:
    """Each request and each push fails with `rate`, each in one of the wanted ways."""

    def __init__(self, wanted: Iterable[WireFault], seed: int, rate: float = RATE) -> None:
        wanted = frozenset(wanted)
        self._requests = [fault for fault in OF_REQUESTS if fault in wanted]
        self._pushes = [fault for fault in OF_PUSHES if fault in wanted]
        self._rate = rate
        self._random = randomness(str(seed), "wire faults")

    def of_request(self) -> WireFault | None:
        """What goes wrong with this request."""
        return self._one_of(self._requests)

    def of_push(self) -> WireFault | None:
        """What goes wrong with this push."""
        return self._one_of(self._pushes)

    def delay_ns(self) -> int:
        """Up to a few seconds."""
        return round(self._random.uniform(0.0, DELAY_MOST_S) * NS_PER_S)

    def _one_of(self, faults: list[WireFault]) -> WireFault | None:
        if not faults or self._random.random() >= self._rate:
            return None
        return self._random.choice(faults)


def parse(text: str) -> tuple[WireFault, ...]:
    """The faults of `all`, or of names with commas between.

    Raises Misconfigured for a name that is none.
    """
    if text == "all":
        return tuple(WireFault)
    return tuple(_named(name.strip()) for name in text.split(","))


def _named(name: str) -> WireFault:
    try:
        return WireFault(name)
    except ValueError:
        near = difflib.get_close_matches(name, WireFault, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are all, {', '.join(WireFault)}"
        raise Misconfigured(f"--faults {name}: no such fault; {hint}") from None
