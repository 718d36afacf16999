"""A feed is silent by its prices alone: no later than the timeout after the last one, and no earlier."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from autohedge.core.events import JournalEntry, Restarted
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.random_history import random_history, settings_of
from autohedge.faultsim.received_quotes import ReceivedQuotes
from autohedge.faultsim.silence_checks import SilenceChecker
from autohedge.market import Kind, Reads, Stream, tape_of

TIMEOUT_S = 13.34  # of the history


@dataclass
class _Account:
    """What the checker reads of the account, with a position."""

    quotes: ReceivedQuotes
    held: dict[str, int] = field(default_factory=lambda: {"S": 1})
    working: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    now_ns: int = 0


@dataclass
class _InForce:
    now: Any


def _checker() -> tuple[SilenceChecker, _Account]:
    """A tape with a price at 1 s, and trades until 60 s."""
    quotes = Stream.of("S", {"ts": [NS_PER_S], "bid": [9.0], "ask": [9.5]})
    times = [second * NS_PER_S for second in range(2, 61)]
    ones = [1.0] * len(times)
    trades = Stream.of("S", {"ts": times, "price": ones, "size": ones}, kind=Kind.TRADES)
    rows = tape_of([quotes, trades], Reads(frozenset({Kind.TRADES}))).rows
    account = _Account(ReceivedQuotes(rows, ("S",)))
    settings = settings_of(random_history(4))
    assert settings.risk.silent_feed_s == TIMEOUT_S
    checker = SilenceChecker(_InForce(settings), account)  # type: ignore[arg-type]
    checker.step(1, NS_PER_S)
    return checker, account


def test_trades_do_not_keep_the_feed_alive() -> None:
    checker, _ = _checker()
    checker.step(14, 14 * NS_PER_S)
    with pytest.raises(InvariantViolation, match="25: the feed is not silent 14"):
        checker.step(15, 15 * NS_PER_S)


def test_a_feed_that_is_silent_in_time_passes_and_too_early_is_noticed() -> None:
    checker, account = _checker()
    checker.step(14, 14 * NS_PER_S)
    account.causes = ("silent",)
    checker.step(14, NS_PER_S + round(TIMEOUT_S * NS_PER_S))
    checker.step(30, 30 * NS_PER_S)
    early, account = _checker()
    account.causes = ("silent",)
    with pytest.raises(InvariantViolation, match="25: the feed is silent 9.000 s after a price"):
        early.step(10, 10 * NS_PER_S)


def test_silence_counts_from_the_exposure_and_from_a_restart() -> None:
    checker, account = _checker()
    account.held["S"] = 0
    checker.step(20, 20 * NS_PER_S)
    account.held["S"] = 1
    checker.step(30, 30 * NS_PER_S)
    account.now_ns = 32 * NS_PER_S
    checker.apply(JournalEntry(1, 30, Restarted(32 * NS_PER_S, 30, "n", (), 0)))
    checker.step(45, 45 * NS_PER_S)
    with pytest.raises(InvariantViolation, match="25: the feed is not silent"):
        checker.step(46, 46 * NS_PER_S)
