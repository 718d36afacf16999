"""A rate limiter in engine time: constant memory, exact integers, no clock."""

NS_PER_MINUTE = 60 * 10**9


class Rate:
    """Allow `burst` events at once and one more every `interval_ns` (the generic cell rate algorithm).

    Source: ITU-T I.371, virtual scheduling. Asking does not use a token; `take` does.
    """

    __slots__ = ("_interval_ns", "_slack_ns", "_theoretical_ns")

    def __init__(self, interval_ns: int, burst: int) -> None:
        self._interval_ns = interval_ns
        self._slack_ns = interval_ns * (burst - 1)
        self._theoretical_ns = 0

    def allows(self, now_ns: int) -> bool:
        """Whether one more event may happen now."""
        return self._theoretical_ns - now_ns <= self._slack_ns

    def take(self, now_ns: int) -> None:
        """Record one event."""
        self._theoretical_ns = max(self._theoretical_ns, now_ns) + self._interval_ns
