"""A rate limiter in engine time: exact, without a clock."""

from collections import deque


class Throttler:
    """At most `most` events in any window of `window_ns`; it stores the times of one window.

    `most` may change at any time. `has_room` records no event, `record` does. Exits record without asking, so they
    count but never wait.
    """

    __slots__ = ("_times_ns", "_window_ns", "most")

    def __init__(self, most: int, window_ns: int) -> None:
        self.most = most
        self._window_ns = window_ns
        self._times_ns: deque[int] = deque()

    def has_room(self, now_ns: int) -> bool:
        """Returns whether one more event may happen now."""
        times = self._times_ns
        return len(times) < self.most or now_ns - times[-self.most] >= self._window_ns

    def available_at_ns(self, now_ns: int) -> int:
        """Returns when one more event may happen."""
        return now_ns if self.has_room(now_ns) else self._times_ns[-self.most] + self._window_ns

    def record(self, now_ns: int) -> None:
        """Records one event."""
        times = self._times_ns
        times.append(now_ns)
        while times[0] <= now_ns - self._window_ns:
            times.popleft()
