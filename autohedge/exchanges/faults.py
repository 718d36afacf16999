"""The faults of a simulated venue and of the connection to it."""

from enum import StrEnum, auto, unique


@unique
class VenueFault(StrEnum):
    """A fault of the connection between a trader and a venue, or of the venue itself."""

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
    GARBLED = auto()
    CANCEL_NOT_FOUND = auto()
    CANCELS_LOST = auto()
    LATE_FILL = auto()
    TRANSFER = auto()
    ERROR_ACCEPTED = auto()


INJECTED = tuple(fault for fault in VenueFault if fault is not VenueFault.ERROR_ACCEPTED)
"""The faults that fault injection draws from."""
