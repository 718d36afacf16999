"""Faults of a venue, and of the way to it: one enum for the simulated venue in this process and in its own."""

from enum import StrEnum, auto, unique


@unique
class VenueFault(StrEnum):
    """What can go wrong between a trader and a venue, or at the venue."""

    DROP = auto()
    DUPLICATE = auto()
    REORDER = auto()
    DELAY = auto()
    THROTTLE = auto()
    BAN = auto()
    ERROR = auto()
    TIMEOUT_ACCEPTED = auto()
    TIMEOUT_LOST = auto()
    LATE_REJECT = auto()
    CANCEL_RACE = auto()
    BUST = auto()
    OVERFILL = auto()
    FORGET = auto()
    EXTERNAL = auto()
    SKEW = auto()
    MAINTENANCE = auto()
    DISCONNECT = auto()
    ERROR_ACCEPTED = auto()


INJECTED = tuple(fault for fault in VenueFault if fault is not VenueFault.ERROR_ACCEPTED)
"""What fault injection draws from; its order is part of what a seed means."""
