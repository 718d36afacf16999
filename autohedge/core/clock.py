"""The only place that reads the machine's clock; the engine's time comes from its inputs."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from autohedge.core.units import NS_PER_DAY, NS_PER_MS, NS_PER_S

NEVER = 2**63 - 1


def wall_ns() -> int:
    """Nanoseconds since 1970-01-01 UTC."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Nanoseconds that only ever grow, from no particular start."""
    return time.monotonic_ns()


def monotonic_s() -> float:
    """Seconds that only ever grow, from no particular start."""
    return monotonic_ns() / 1e9


def compact_utc(ts_ns: int) -> str:
    """A time as people and folder names write it: `20240808T235415`, UTC."""
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).strftime("%Y%m%dT%H%M%S")


def format_utc(ts_ns: int) -> str:
    """A time for reports: `2024-08-08 23:54:15.088`, UTC."""
    utc_time = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    return f"{utc_time:%Y-%m-%d %H:%M:%S}.{ts_ns % NS_PER_S // NS_PER_MS:03d}"


def next_midnight_ns(ts_ns: int) -> int:
    """The first UTC midnight after `ts_ns`: a trading day is a UTC day."""
    return (ts_ns // NS_PER_DAY + 1) * NS_PER_DAY


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """A tape's time on the machine's clock: `first_ns` of the tape at `begun_ns`, `speed` times as fast.

    `begun_ns` is monotonic time, which all processes of one machine share and no one can set back.
    """

    first_ns: int
    begun_ns: int
    speed: float

    @classmethod
    def begin(cls, first_ns: int, speed: float) -> "ReplayClock":
        """A clock that starts now."""
        return cls(first_ns, monotonic_ns(), speed)

    def now_ns(self) -> int:
        """How far the tape has come."""
        return self.first_ns + int((monotonic_ns() - self.begun_ns) * self.speed)

    def until_ns(self, tape_ns: int) -> int:
        """Nanoseconds of the machine's clock until the tape comes to `tape_ns`; negative if it is past."""
        return self.begun_ns + int((tape_ns - self.first_ns) / self.speed) + 1 - monotonic_ns()
