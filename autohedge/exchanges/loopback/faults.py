"""Seeded faults of the connection between a trader and a venue server.

The draws do not depend on the market or on the messages. The same seed faults the same requests and pushes,
counted from the start of the venue.
"""

from collections.abc import Iterable
from typing import Protocol

from autohedge.core.errors import Misconfigured
from autohedge.core.ids import seeded_random
from autohedge.core.text import did_you_mean
from autohedge.core.units import NS_PER_S
from autohedge.exchanges.faults import VenueFault

RATE = 0.15
DELAY_MOST_S = 5.0


WIRE_FAULTS: dict[str, VenueFault] = {
    "drop": VenueFault.TIMEOUT_ACCEPTED,
    "lost": VenueFault.TIMEOUT_LOST,
    "delay": VenueFault.DELAY,
    "throttle": VenueFault.THROTTLE,
    "ban": VenueFault.BAN,
    "error": VenueFault.ERROR,
    "error_after": VenueFault.ERROR_ACCEPTED,
    "disconnect": VenueFault.DISCONNECT,
    "drop_push": VenueFault.DROP,
    "duplicate_push": VenueFault.DUPLICATE,
    "reorder_push": VenueFault.REORDER,
}
"""Faults by the name that `--faults` takes; their order is part of the meaning of a seed."""

MEANING = {
    "drop": "acts on a request without a response",
    "lost": "does not receive a request",
    "delay": "responds late",
    "throttle": "answers 429",
    "ban": "answers 418 for a while",
    "error": "answers 503 without acting",
    "error_after": "acts, then answers 503",
    "disconnect": "acts, then disconnects while orders rest",
    "drop_push": "does not report an event",
    "duplicate_push": "reports an event twice",
    "reorder_push": "reports an event after later ones",
}
OF_PUSHES = (VenueFault.DROP, VenueFault.DUPLICATE, VenueFault.REORDER)
OF_REQUESTS = tuple(fault for fault in WIRE_FAULTS.values() if fault not in OF_PUSHES)


class FaultSource(Protocol):
    """Draws the fault of each request and of each push."""

    def for_request(self) -> VenueFault | None:
        """The fault of the next request, or None."""
        ...

    def for_push(self) -> VenueFault | None:
        """The fault of the next push, or None."""
        ...

    def delay_ns(self) -> int:
        """How long a delayed message is held back, on the venue's clock."""
        ...


class SeededFaults:
    """Draws a fault with probability `rate` for each request and push, from the wanted ones."""

    def __init__(self, wanted: Iterable[VenueFault], seed: int, rate: float = RATE) -> None:
        wanted = frozenset(wanted)
        # In the order of the constants: the iteration order of a set differs between processes.
        self._requests = [fault for fault in OF_REQUESTS if fault in wanted]
        self._pushes = [fault for fault in OF_PUSHES if fault in wanted]
        self._rate = rate
        self._random = seeded_random(str(seed), "wire faults")

    def for_request(self) -> VenueFault | None:
        """The fault of the next request, or None."""
        return self._one_of(self._requests)

    def for_push(self) -> VenueFault | None:
        """The fault of the next push, or None."""
        return self._one_of(self._pushes)

    def delay_ns(self) -> int:
        """A delay of up to `DELAY_MOST_S`."""
        return round(self._random.uniform(0.0, DELAY_MOST_S) * NS_PER_S)

    def _one_of(self, faults: list[VenueFault]) -> VenueFault | None:
        if not faults or self._random.random() >= self._rate:
            return None
        return self._random.choice(faults)


def parse(text: str) -> tuple[str, ...]:
    """The fault names of `all` or of a comma-separated list, as keys of `WIRE_FAULTS`.

    Raises Misconfigured for an unknown name.
    """
    if text == "all":
        return tuple(WIRE_FAULTS)
    return tuple(_known(name.strip()) for name in text.split(","))


def _known(name: str) -> str:
    if name not in WIRE_FAULTS:
        hint = did_you_mean(name, WIRE_FAULTS) or f"there are all, {', '.join(WIRE_FAULTS)}"
        raise Misconfigured(f"--faults {name}: no such fault; {hint}")
    return name
