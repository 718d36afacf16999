"""The account at the simulated venue: cash per currency, and fees in a third one."""

from decimal import Decimal

from autohedge.core.accounts import OpeningAccount, currencies_of
from autohedge.core.events import AccountState
from autohedge.core.instruments import Instrument, split_symbol
from autohedge.exchanges.account import VenueAccount

D = Decimal
SYMBOLS = ["BTC/USD", "ETH/BTC", "BNB/USD"]
NAN = float("nan")


def _account(bnb_quote: tuple[float, float] = (9.0, 11.0), **balances: int) -> VenueAccount:
    quotes = [(99.0, 101.0), (0.5, 0.6), bnb_quote]
    instruments = [
        Instrument(each, base=split_symbol(each)[0], quote=split_symbol(each)[1]) for each in SYMBOLS
    ]
    money = {name: D(amount) for name, amount in balances.items()}
    opening = OpeningAccount(D(1_000), money, currencies_of(instruments, "USD", ["BNB"]))
    return VenueAccount(opening, "BNB", SYMBOLS, lambda lane: quotes[lane])


def test_fee_is_paid_in_its_currency_at_the_mid() -> None:
    account = _account(BNB=5, BTC=2)
    assert account.pay_fee("BTC/USD", D(20)) == (D(2), "BNB")
    assert account.pay_fee("ETH/BTC", D("0.1")) == (D(1), "BNB")  # 0.1 BTC are 10 USD
    assert account.balances == {"USD": 1_000, "BTC": 2, "BNB": 2}
    account.refund_fee("ETH/BTC", D(1), "BNB")
    account.refund_fee("ETH/BTC", D("0.1"), None)
    assert account.balances == {"USD": 1_000, "BTC": D("2.1"), "BNB": 3}


def test_fee_is_in_the_quote_currency_without_enough_of_its_own_or_a_rate() -> None:
    for account in (_account(BNB=1), _account((NAN, NAN), BNB=50)):
        assert account.pay_fee("BTC/USD", D(20)) == (D(20), None)
        assert account.cash == 980


def test_trades_move_the_quote_currency() -> None:
    account = _account(BTC=2)
    account.move("ETH/BTC", D(2), D("0.5"))
    account.move("BTC/USD", D(-1), D(100))
    account.deposit(D(7))
    state = AccountState(5, 4, D(1_107), {"ETH/BTC": D(2), "BTC/USD": D(-1)}, {"BTC": D(1)})
    assert account.state(5, 4) == state
