"""Rules of symbols that the tape does not have: another spelling is an error, another symbol a line."""

import pytest

from autohedge.config import load, rules_not_applied
from autohedge.core.errors import Misconfigured

pytestmark = pytest.mark.usefixtures("workplace")


def _unused(*given: str, tape: tuple[str, ...]) -> str:
    return rules_not_applied(load(overrides=[f'instruments."{symbol}".lot=1' for symbol in given]), tape)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ("SOL/USDT", "SOLUSDT"),
        ("SOL/USD", "SOL-USD"),
        ("sol_usd", "SOL/USD"),
        ("BRK.B", "BRKB"),
        ("SOL/USD", "SOL/USDT"),
        ("SLO/USDT", "SOLUSDT"),
        ("MSFTT", "MSFT"),
    ],
)
@pytest.mark.parametrize("table", ["instruments", "symbol_overrides"])
def test_rules_under_another_spelling_are_refused(table: str, given: str, held: str) -> None:
    key = {"instruments": "lot", "symbol_overrides": "lookback"}[table]
    settings = load(overrides=[f'{table}."{given}".{key}=1'])
    expected = f'^{table}."{given}": the tape has no such symbol; did you mean {held}\\? '
    with pytest.raises(Misconfigured, match=expected):
        rules_not_applied(settings, ("XRPUSD", held))


@pytest.mark.parametrize(
    ("given", "held"),
    [("LTCUSDT", "BTCUSDT"), ("ETH/BTC", "BTC/ETH"), ("GME", "GM"), ("SOL/USD", "XRP/USD")],
)
def test_rules_of_another_symbol_are_one_line(given: str, held: str) -> None:
    assert _unused(given, tape=(held,)) == f"rules for {given} have no effect: the tape holds {held}"


def test_rules_for_both_spellings_are_meant_as_they_are_written() -> None:
    expected = "rules for SOL-USD have no effect: the tape holds SOL/USD"
    assert _unused("SOL/USD", "SOL-USD", tape=("SOL/USD",)) == expected


def test_rules_of_the_symbols_of_the_tape_are_no_line() -> None:
    assert _unused("SOL/USD", tape=("XRP/USD", "SOL/USD")) == ""
    assert _unused(tape=("SOL/USD",)) == ""


def test_line_about_many_symbols_is_bounded_and_printable() -> None:
    text = _unused(*(f"A\\u001b{number}" for number in range(300)), tape=("SOL/USD",))
    assert text.isprintable() and len(text) < 500
