"""The currencies of an account: which instrument converts each, and at what rate."""

from decimal import Decimal
from math import nan

import pytest

from autohedge.core.accounts import SINGLE, Currencies, Rates, RateSource, currencies_of
from autohedge.core.errors import Misconfigured
from autohedge.core.instruments import Instrument, split_symbol

D = Decimal
BTC_USD, ETH_BTC, USD_JPY = "BTC/USD", "ETH/BTC", "USD/JPY"


def _currencies(*symbols: str, reporting: str = "", others: tuple[str, ...] = ()) -> Currencies:
    instruments = [
        Instrument(each, base=split_symbol(each)[0], quote=split_symbol(each)[1]) for each in symbols
    ]
    return currencies_of(instruments, reporting, others)


def _rates(currencies: Currencies, *quotes: tuple[float, float]) -> Rates:
    return Rates(currencies, lambda lane: quotes[lane])


@pytest.mark.parametrize("symbols", [("BTC/USD", "ETH/USD"), ("AAPL", "BTCUSDT"), ("BTC/USD", "AAPL"), ()])
def test_instruments_that_share_a_quote_currency_need_no_rate(symbols: tuple[str, ...]) -> None:
    made = _currencies(*symbols)
    assert made.single and set(made.quotes) <= {made.reporting}


def test_each_other_currency_is_converted_by_its_instrument_or_the_inverse() -> None:
    made = _currencies(ETH_BTC, BTC_USD, USD_JPY, reporting="USD", others=("BTC",))
    assert made.quotes == ("BTC", "USD", "JPY")
    assert made.sources == {"BTC": RateSource(1, inverse=False), "JPY": RateSource(2, inverse=True)}


def test_unknown_quote_currency_is_the_reporting_one() -> None:
    made = currencies_of([Instrument("BTCUSDT", base="BTC")], "USDT", ["BTC"])
    assert made.quotes == ("USDT",) and made.sources == {"BTC": RateSource(0, inverse=False)}


@pytest.mark.parametrize(
    ("symbols", "reporting", "others", "message"),
    [
        ((BTC_USD, ETH_BTC), "", (), "prices are in BTC, USD: set account.currency"),
        ((BTC_USD,), "EUR", (), "there is no rate from USD to EUR"),
        ((BTC_USD, "ETH/USDT"), "USD", (), "there is no rate from USDT to USD"),
        ((BTC_USD,), "", ("BNB",), "no symbol of the run is BNB/USD or USD/BNB"),
        (("AAPL",), "", ("BNB",), "there is no rate from BNB to the reporting currency"),
    ],
)
def test_currency_without_a_rate_is_refused_in_one_line(
    symbols: tuple[str, ...], reporting: str, others: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        _currencies(*symbols, reporting=reporting, others=others)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_rate_is_the_mid_exactly_and_its_inverse_rounded_once() -> None:
    rates = _rates(_currencies(BTC_USD, USD_JPY, reporting="USD"), (60000.1, 60000.2), (149.0, 151.0))
    assert (rates.rate("USD"), rates.rate("BTC")) == (D(1), None)
    assert rates.rate("JPY") == D("0.006666666666666666666666666667")
    rates = _rates(_currencies(ETH_BTC, BTC_USD, reporting="USD"), (nan, nan), (60000.1, 60000.2))
    assert rates.rate("BTC") == D("60000.15")


def test_currency_has_no_rate_before_its_first_quote() -> None:
    rates = _rates(_currencies(ETH_BTC, BTC_USD, reporting="USD"), (0.05, 0.06), (nan, nan))
    assert rates.rate("BTC") is rates.rate("DOGE") is None
    amounts = {"USD": D(5), "BTC": D(1)}
    assert rates.value(amounts) == 5 and not rates.covers(amounts)
    assert rates.covers({"USD": D(5), "BTC": D(0)})


def test_value_sums_all_amounts_in_the_reporting_currency() -> None:
    rates = _rates(_currencies(ETH_BTC, BTC_USD, reporting="USD"), (0.05, 0.06), (9.0, 11.0))
    assert rates.value({"USD": D(5), "BTC": D("-0.1")}) == 4
    assert Rates(SINGLE, lambda _: (nan, nan)).value({"": D(7)}) == 7
