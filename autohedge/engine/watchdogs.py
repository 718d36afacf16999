"""The timers that watch an account with exposure: midnight, and the silence of the market data."""

from autohedge.core.clock import next_midnight_ns
from autohedge.core.timers import TimerQueue
from autohedge.execution.tracking import TimerKey

MIDNIGHT: TimerKey = ("midnight", "")
SILENCE: TimerKey = ("silence", "")


class Watchdogs:
    """Both timers, to be armed while an order works or a position is held; an idle run would wake for nothing.

    `row_ns` is the time of the last row, `feed_timed_out` whether none has come within the timeout.
    """

    def __init__(self, timers: TimerQueue[TimerKey], feed_timeout_ns: int) -> None:
        self._timers = timers
        self.feed_timeout_ns = feed_timeout_ns
        self.armed = False
        self.row_ns = 0
        self.feed_timed_out = False

    def set_feed_timeout(self, feed_timeout_ns: int) -> None:
        """Changes how long the feed may be silent; 0 does not watch it. Counts from the last row."""
        if feed_timeout_ns != self.feed_timeout_ns:
            self.feed_timeout_ns = feed_timeout_ns
            self._timers.cancel(SILENCE)
            self.armed = False

    def arm(self, now_ns: int) -> None:
        """Sets the timers that are not set."""
        self.armed = True
        if MIDNIGHT not in self._timers:
            self._timers.schedule(MIDNIGHT, next_midnight_ns(now_ns))
        if self.feed_timeout_ns and SILENCE not in self._timers and not self.feed_timed_out:
            # Later than now even if the last row is older than the timeout: a timer must not fire at once.
            from_ns = max(self.row_ns, now_ns - self.feed_timeout_ns + 1)
            self._timers.schedule(SILENCE, from_ns + self.feed_timeout_ns)

    def on_midnight(self) -> None:
        """Lets the next midnight be set."""
        self.armed = False

    def on_silence(self, now_ns: int) -> bool:
        """Handles the timeout; returns whether the feed is silent. If a row came meanwhile, it is set again."""
        self.armed = False
        return self.row_ns + self.feed_timeout_ns <= now_ns

    def on_row_after_timeout(self) -> None:
        """Ends the timeout."""
        self.feed_timed_out = self.armed = False
