"""The only module that reads the machine's clock; the engine takes its time from its inputs."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from autohedge.core.units import NS_PER_DAY, NS_PER_MS, NS_PER_S

NEVER = 2**63 - 1  # the largest int64, since kernel states hold it too


def wall_ns() -> int:
    """Returns nanoseconds since 1970-01-01 UTC."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Returns nanoseconds that never decrease, from an arbitrary start."""
    return time.monotonic_ns()


def monotonic_s() -> float:
    """Returns seconds that never decrease, from an arbitrary start."""
    return monotonic_ns() / 1e9


def compact_utc(ts_ns: int) -> str:
    """Formats a time for file and folder names: `20240808T235415`, UTC."""
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).strftime("%Y%m%dT%H%M%S")


def format_utc(ts_ns: int) -> str:
    """Formats a time for reports: `2024-08-08 23:54:15.088`, UTC."""
    utc_time = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    return f"{utc_time:%Y-%m-%d %H:%M:%S}.{ts_ns % NS_PER_S // NS_PER_MS:03d}"


def next_midnight_ns(ts_ns: int) -> int:
    """Returns the first UTC midnight after `ts_ns`; a trading day is a UTC day."""
    return (ts_ns // NS_PER_DAY + 1) * NS_PER_DAY


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Maps the machine's clock to tape time: `first_ns` at `begun_ns`, then `speed` times as fast.

    `begun_ns` is monotonic time. All processes of one machine share it, and setting the wall clock does not
    change it.
    """

    first_ns: int
    begun_ns: int
    speed: float

    @classmethod
    def begin(cls, first_ns: int, speed: float) -> "ReplayClock":
        """Returns a clock that starts now."""
        return cls(first_ns, monotonic_ns(), speed)

    def now_ns(self) -> int:
        """Returns the tape time that is reached now."""
        return self.first_ns + int((monotonic_ns() - self.begun_ns) * self.speed)

    def until_ns(self, tape_ns: int) -> int:
        """Returns the real nanoseconds until the tape reaches `tape_ns`; negative if it is past."""
        # int() truncates; one nanosecond more, so that this does not wake a sleeper before `tape_ns`.
        return self.begun_ns + int((tape_ns - self.first_ns) / self.speed) + 1 - monotonic_ns()
