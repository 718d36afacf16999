"""Bugs in the currencies of an account, planted by a monkeypatch that the simulation must catch."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.accounts import Rates
from autohedge.core.events import AccountState
from autohedge.execution.entry_funds import EntryFunds
from autohedge.execution.ledger import Ledger
from autohedge.execution.reconciliation import IsIdle, Reconciliation, Subject
from tests.faultsim.mutants.planted_bugs import Plant


def fee_taken_from_the_quote_currency(patch: pytest.MonkeyPatch) -> None:
    """A fee in a third asset is booked in the currency of the price."""
    original = Ledger.book_fill

    def book_fill(self: Ledger, *fill: Any) -> Decimal:
        return original(self, *fill[:5])

    patch.setattr(Ledger, "book_fill", book_fill)


def amounts_not_converted(patch: pytest.MonkeyPatch) -> None:
    """An amount in another currency counts as one in the reporting currency."""
    original = Rates.rate

    def rate(self: Rates, currency: str) -> Decimal | None:
        return None if original(self, currency) is None else Decimal(1)

    patch.setattr(Rates, "rate", rate)


def cash_of_another_currency_spent(patch: pytest.MonkeyPatch) -> None:
    """The cash in the reporting currency pays for what is quoted in another."""

    def buying_power(self: EntryFunds, lane: int) -> Decimal:
        return self._portfolio.buying_power(self.reserved())

    patch.setattr(EntryFunds, "buying_power", buying_power)


def other_balances_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Reconciliation compares the cash in the reporting currency only."""
    original = Reconciliation.confirmed_differences

    def confirmed_differences(
        self: Reconciliation, account: AccountState, ledger: Ledger, rests: IsIdle
    ) -> Iterator[tuple[Subject, Decimal]]:
        others = {name: book.cash for name, book in ledger.others.items()}
        seen = AccountState(account.at_ns, account.asked_ns, account.cash, account.positions, others)
        yield from original(self, seen, ledger, rests)

    patch.setattr(Reconciliation, "confirmed_differences", confirmed_differences)


CURRENCY_BUGS: tuple[Plant, ...] = (
    fee_taken_from_the_quote_currency,
    amounts_not_converted,
    cash_of_another_currency_spent,
    other_balances_not_compared,
)
