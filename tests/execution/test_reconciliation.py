"""A pass is asked for as a whole, takes slow answers, and comes again while something moved."""

from decimal import Decimal

from autohedge.core.agenda import Agenda
from autohedge.core.clock import NEVER
from autohedge.core.events import Account, AnyOutput, QueryAccount, QueryFills, QueryOpen, Reconciled
from autohedge.execution.inquiry import Matter
from autohedge.execution.ledger import Ledger
from autohedge.execution.reconciliation import NS_PER_S, PASS, Reconciliation, Terms

D = Decimal
LAG_NS = 5 * NS_PER_S
LEDGER = Ledger(D(100))


def _asked(every_s: int = 0) -> tuple[Reconciliation, Agenda[Matter], list[AnyOutput]]:
    agenda: Agenda[Matter] = Agenda()
    said: list[AnyOutput] = []
    books = Reconciliation(Terms(every_s * NS_PER_S, 0, LAG_NS, "adopt"), agenda, said.append)
    books.ask(0, 0)
    return books, agenda, said


def _compare(books: Reconciliation, at_ns: int, cash: int, *, rests: bool) -> list[tuple[str, Decimal]]:
    """The venue's account, and then that there are no orders: a whole pass."""
    account = Account(at_ns, books.asked_ns, D(cash), {})
    found = list(books.unexplained(account, LEDGER, lambda *_: rests))
    for part in ("account", "orders"):
        books.heard(part, books.asked_ns, len(found), at_ns, at_stake=False)
    return found


def test_a_pass_asks_for_orders_fills_and_account_and_is_over_when_both_lists_are_in() -> None:
    books, agenda, said = _asked()
    assert [type(event) for event in said] == [QueryOpen, QueryFills, QueryAccount]
    assert not books.heard("orders", 0, 0, 1, at_stake=False)
    assert books.heard("account", 0, 0, 2, at_stake=False)
    assert said[3:] == [Reconciled(2, 0)]
    assert agenda.due_ns(PASS) == NEVER


def test_a_pass_that_is_asked_for_again_takes_answers_to_its_first_questions() -> None:
    books, _, _ = _asked()
    books.ask(2 * NS_PER_S, 0)
    assert not books.heard("orders", 0, 0, 3 * NS_PER_S, at_stake=False)
    assert books.heard("account", 0, 0, 3 * NS_PER_S, at_stake=False)


def test_a_pass_that_was_given_up_needs_new_answers() -> None:
    books, _, _ = _asked()
    books.give_up()
    books.ask(2 * NS_PER_S, 0)
    for part in ("orders", "account"):
        assert not books.heard(part, 0, 0, 3 * NS_PER_S, at_stake=False)
    assert books.open


def test_a_difference_while_something_moves_proves_nothing_and_is_looked_at_again() -> None:
    books, agenda, _ = _asked()
    assert _compare(books, 10, 104, rests=False) == []
    assert agenda.due_ns(PASS) == 10 + LAG_NS


def test_a_difference_counts_when_it_is_seen_again_a_visibility_lag_later() -> None:
    books, agenda, _ = _asked()
    assert _compare(books, 10, 104, rests=True) == []
    books.ask(agenda.due_ns(PASS), 0)
    assert _compare(books, books.asked_ns, 104, rests=True) == [("", D(4))]
    assert agenda.due_ns(PASS) == NEVER


def test_what_has_no_price_yet_is_looked_at_again() -> None:
    books, agenda, _ = _asked()
    books.wait_for_price("X", D(1), 0)
    _compare(books, 10, 100, rests=True)
    assert agenda.due_ns(PASS) == NEVER, "a difference that is gone is forgotten"
    books.ask(20, 0)
    account = Account(30, 20, D(100), {"X": D(1)})
    assert list(books.unexplained(account, LEDGER, lambda *_: True)) == []
    books.wait_for_price("X", D(1), 30)
    for part in ("account", "orders"):
        books.heard(part, 20, 0, 30, at_stake=False)
    assert agenda.due_ns(PASS) == 30 + LAG_NS
