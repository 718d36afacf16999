"""Which requests may be sent now: none while disconnected or while the venue has asked to wait."""

from autohedge.core.events import AnyTradingCommand, VenueEvent
from autohedge.gateway.outcomes import not_sent, throttled


class RequestAdmission:
    """The state of the connection that decides whether a request may leave.

    Venues throttle and ban an account, not one request: after one such answer all requests wait.
    """

    def __init__(self, quiet_until_ns: int = 0) -> None:
        self.connected = True
        self.quiet_until_ns = quiet_until_ns

    def hold_until(self, until_ns: int) -> None:
        """Sends no request before `until_ns`."""
        self.quiet_until_ns = max(self.quiet_until_ns, until_ns)

    def answer_locally(self, command: AnyTradingCommand, now_ns: int) -> list[VenueEvent] | None:
        """The outcome of a command that must not be sent now; None if it may be sent."""
        if not self.connected:
            return not_sent(command, "not connected", now_ns)
        if now_ns < self.quiet_until_ns:
            return throttled(command, now_ns, self.quiet_until_ns)
        return None
