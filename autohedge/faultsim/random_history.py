"""Random histories: a seed decides market, settings, answers, commands and faults.

Each kind of thing has a random stream of its own, so a change of one kind leaves the others as they are.
"""

from collections import Counter
from functools import cache, partial
from typing import Any

import msgspec

from autohedge import config
from autohedge.config import Settings
from autohedge.core.ids import Randomness, nonce_from_seed, seeded_random
from autohedge.faultsim.feed_faults import FeedFault, gap_ns, random_feed_strikes, spoiled_streams
from autohedge.faultsim.history import History
from autohedge.faultsim.random_answers import random_answers, random_decision_strikes
from autohedge.faultsim.random_changes import random_changes
from autohedge.faultsim.random_commands import random_commands
from autohedge.faultsim.random_currencies import currency_settings, market_in_currencies, with_currencies
from autohedge.faultsim.random_directions import (
    answers_in_directions,
    direction_settings,
    random_directions,
)
from autohedge.faultsim.random_feeds import has_feeds, random_feeds, reading_settings
from autohedge.faultsim.random_market import (
    TradingSessions,
    random_instruments,
    random_market,
    random_sessions,
)
from autohedge.faultsim.random_settings import random_settings
from autohedge.faultsim.random_strikes import random_strikes
from autohedge.faultsim.row_faults import random_row_strikes, spoiled_feeds
from autohedge.market import Tape, tape_of
from autohedge.strategies import reads_of

SYNCED_SHARE = 0.2  # of the histories have a journal that is synced before each order


def random_history(seed: int) -> History:
    """The history of a seed."""
    draw = seeded_random(str(seed), "feeds")
    history, sessions = _history_of_quotes(seed)
    return _with_feeds(history, sessions, draw) if has_feeds(draw) else history


def _with_feeds(history: History, sessions: TradingSessions, draw: Randomness) -> History:
    """The history with rows of all kinds beside the quotes, their faults, and a strategy that may read them."""
    read = reading_settings(draw, history.settings["trading"]["mode"])
    return msgspec.structs.replace(
        history,
        settings=config.merge([history.settings, read]),
        feeds=random_feeds(draw, history.market, history.start_ns),
        strikes=[*history.strikes, *random_row_strikes(draw, sessions)],
    )


def _history_of_quotes(seed: int) -> tuple[History, TradingSessions]:
    """The history of a seed with quotes alone, and when its market trades."""
    stream = partial(seeded_random, str(seed))
    currencies = stream("currencies")
    instruments = with_currencies(currencies, random_instruments(stream("instruments")))
    sessions = random_sessions(stream("sessions"))
    plain = random_settings(stream("settings"), instruments)
    turns = stream("directions")
    directions = random_directions(turns, plain["trading"]["mode"])
    own = [currency_settings(currencies, instruments, plain), direction_settings(directions, plain)]
    plain = config.merge([plain, *own, _journal(stream("journal"))])
    settings = _settings(plain)
    symbols = [instrument.symbol for instrument in instruments]
    feed = random_feed_strikes(stream("feed"), sessions)
    gaps_ns = sum(gap_ns(strike) for strike in feed if strike.fault == FeedFault.GAP)
    history = History(
        note="",
        nonce=nonce_from_seed(seed),
        start_ns=sessions.start_ns,
        calm_ns=sessions.at_ns(sessions.trading_ns) + gaps_ns,
        settings=plain,
        market=market_in_currencies(random_market(stream("market"), instruments, sessions), instruments),
        strikes=[
            *feed,
            *random_decision_strikes(stream("decisions"), settings, symbols, sessions),
            *random_strikes(seed, sessions),
        ],
        commands=random_commands(stream("commands"), sessions),
        changes=random_changes(stream("changes"), plain, _shipped(), instruments, sessions),
        answers=answers_in_directions(
            turns, directions, random_answers(stream("answers"), settings, symbols)
        ),
    )
    return history, sessions


def _journal(draw: Randomness) -> dict[str, Any]:
    return {"journal": {"durability": "power"}} if draw.random() < SYNCED_SHARE else {}


def settings_of(history: History) -> Settings:
    """The settings of a history. Raises Misconfigured if they are not valid."""
    return _settings(history.settings)


def tape_of_history(history: History, fault_counts: Counter[str] | None = None) -> Tape:
    """The market of a history after the faults of its feeds; counts those that changed a row."""
    counts: Counter[str] = Counter() if fault_counts is None else fault_counts
    strikes, start_ns = history.strikes, history.start_ns
    symbols = [quotes.symbol for quotes in history.market]
    streams = spoiled_streams(history.market, strikes, start_ns, counts)
    beside = spoiled_feeds(history.feeds, symbols, strikes, start_ns, counts)
    return tape_of([*streams, *beside], reads_of(settings_of(history)))


def _settings(plain: dict[str, Any]) -> Settings:
    return config.from_plain(config.merge([_shipped(), plain]))


@cache
def _shipped() -> dict[str, Any]:
    """The shipped defaults, without the user's files or environment."""
    return config.read_toml(config.shipped_file())
