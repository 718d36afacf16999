"""Random strikes of the venue, the connection, the process and its disk."""

from functools import partial

import msgspec

from autohedge.core.ids import Randomness, seeded_random
from autohedge.exchanges.faults import VenueFault as F
from autohedge.faultsim.faults import MachineFault as M
from autohedge.faultsim.random_market import TradingSessions
from autohedge.faultsim.strikes import Strike

# How often each fault strikes in a history that has it, on average.
FREQUENCIES: dict[F | M, float] = {
    F.DROP: 5,
    F.DUPLICATE: 5,
    F.REORDER: 4,
    F.DELAY: 5,
    F.THROTTLE: 1.5,
    F.BAN: 1,
    F.ERROR: 1.5,
    F.GARBLED: 1,
    F.TIMEOUT_ACCEPTED: 2,
    F.TIMEOUT_LOST: 2,
    F.LATE_REJECT: 4,
    F.CANCEL_RACE: 6,
    F.CANCEL_NOT_FOUND: 1.5,
    F.CANCELS_LOST: 3,
    F.LATE_FILL: 5,
    F.BUST: 2,
    F.OVERFILL: 2,
    F.FORGET: 2,
    F.EXTERNAL: 1,
    F.TRANSFER: 1,
    F.SKEW: 1,
    F.MAINTENANCE: 1.5,
    F.DISCONNECT: 1.5,
    M.CRASH_RECORD: 1.5,
    M.CRASH_SUBMIT: 1,
    M.CRASH_APPLY: 1,
    M.CRASH_ORDER: 1,
    M.CRASH_EXIT: 2.5,
    M.CRASH_WRITE: 1,
    M.CRASH_RECOVERY: 1,
    M.CRASH_RECONCILIATION: 1,
    M.CRASH_WAITING: 0.5,
    M.TORN_TAIL: 1,
    M.POWER_LOSS: 2,
    M.DISK_FULL: 0.7,
    M.DISK_SLOW: 1,
    M.SYNC_ERROR: 1,
    M.SECOND_PROCESS: 1,
    M.INTERRUPT: 1,
}
SHARES: dict[F | M, float] = {
    F.BUST: 0.4,
    F.OVERFILL: 0.4,
    F.LATE_FILL: 0.4,
    F.EXTERNAL: 0.4,
    F.TRANSFER: 0.4,
    F.CANCELS_LOST: 0.5,
    M.INTERRUPT: 0.1,
    M.DISK_FULL: 0.4,
}
"""The share of the histories that have a fault, where it is not `SHARE`.

Faults that change the account or end the run hide what else may be wrong.
"""
SHARE = 0.7
# Faults with few opportunities, none of which is passed.
RARE = (M.CRASH_EXIT, M.SYNC_ERROR)
SKIPPED_MOST = 12  # opportunities of one moment: what happens in it is not always the first


def random_strikes(seed: int, sessions: TradingSessions) -> list[Strike]:
    """Draws the strikes of a history, each fault from a random stream of its own."""
    stream = partial(seeded_random, str(seed))
    return [
        strike for fault in FREQUENCIES for strike in _strikes_of(fault, stream(f"strikes {fault}"), sessions)
    ]


def _strikes_of(fault: F | M, draw: Randomness, sessions: TradingSessions) -> list[Strike]:
    if draw.random() >= SHARES.get(fault, SHARE):
        return []
    if fault in {F.SKEW, M.INTERRUPT, M.SECOND_PROCESS}:  # once, at their time
        return [msgspec.structs.replace(_strike(fault, draw, sessions), skip=0)]
    strikes = [_strike(fault, draw, sessions) for _ in range(_count(FREQUENCIES[fault], draw))]
    if fault is M.POWER_LOSS:  # half of them right after an order has left, whose line is then lost
        strikes += [
            msgspec.structs.replace(strike, fault=str(M.CRASH_ORDER), skip=0) for strike in strikes[::2]
        ]
    return strikes


def _count(frequency: float, draw: Randomness) -> int:
    """A Poisson-distributed number: how many events of unit rate fall into `frequency`."""
    count, passed = 0, draw.expovariate(1.0)
    while passed < frequency:
        count += 1
        passed += draw.expovariate(1.0)
    return count


def _strike(fault: F | M, draw: Randomness, sessions: TradingSessions) -> Strike:
    # Transfers come late, where no later order may lead to the reconciliation that finds them.
    first = 0.8 if fault is F.TRANSFER else 0.0
    at_ns = sessions.at_ns(int(draw.uniform(first, 1.0) * sessions.trading_ns))
    skip = 0 if fault in RARE else int(draw.random() ** 3 * SKIPPED_MOST)
    values = tuple(round(draw.random(), 3) for _ in range(2))
    return Strike(str(fault), at_ns, skip, values)
