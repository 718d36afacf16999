"""Invariants 22 and 23: an entry rests no longer than the settings say; no order of the run is external."""

from autohedge.core.events import Alert, ExternalChange, JournalEntry, OrderAdopted
from autohedge.core.units import NS_PER_DAY, NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.settings_in_force import SettingsInForce


class RestingOrderChecker:
    """Follows how long entries rest; every method raises InvariantViolation."""

    def __init__(self, settings: SettingsInForce, account: RecordedAccount) -> None:
        self._settings, self._account = settings, account
        self._until_ns: dict[str, int] = {}
        self._external: set[str] = set()

    def apply(self, entry: JournalEntry) -> None:
        """Notes the orders of others, which keep their own lifetime."""
        if isinstance(entry.event, OrderAdopted) and entry.event.why != "lost_intent":
            self._external.add(entry.event.order.order_id)

    def step(self, engine: Engine) -> None:
        """Checks that every entry whose time is over has a cancel request."""
        now_ns = engine.now_ns
        if engine.next_deadline_ns <= now_ns or now_ns <= self._account.quiet_until_ns:
            return  # what is due happens next
        for order in self._account.working.values():
            if order.order_id not in self._until_ns:
                self._until_ns[order.order_id] = now_ns + self._rest_ns(order.symbol)
            over = now_ns > self._until_ns[order.order_id] and order.order_id not in self._external
            if over and order.enters and order.may_rest and not order.cancel_requested:
                raise InvariantViolation(f"22: {order.order_id} still rests after its time is over")

    def _rest_ns(self, symbol: str) -> int:
        """How long an entry that was just sent may rest."""
        execution = self._settings.terms(symbol).execution
        expiry_ns = execution.limit_order_expiration_days * NS_PER_DAY
        return min(round(execution.cancel_after_s * NS_PER_S), expiry_ns)


def check_not_external(entry: JournalEntry, sent: set[str], *, altered: bool) -> None:
    """Checks that nothing of the run is taken for somebody else's.

    `sent` has the ids of all orders that left; `altered` is true once somebody else has changed the account.
    """
    match entry.event:
        case OrderAdopted(order=found, why="external") if found.order_id in sent:
            raise InvariantViolation(f"23: order {found.order_id} of this run is adopted as external")
        case Alert(code="external_order", subject=order_id, text=text) if order_id in sent and text.endswith(
            "external order"
        ):
            raise InvariantViolation(f"23: order {order_id} of this run is treated as external")
        case ExternalChange() if not altered:
            raise InvariantViolation(f"23: {entry.event} though nobody else has changed the account")
