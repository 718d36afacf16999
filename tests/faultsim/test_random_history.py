"""Random histories repeat, survive their file, draw each kind from a stream of its own, and vary."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.config import applies_at
from autohedge.config.sections import Applies
from autohedge.core.ids import seeded_random
from autohedge.core.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_S
from autohedge.faultsim.feed_faults import FeedFault, random_feed_strikes
from autohedge.faultsim.history import CommandName, History, Quotes, read_history, write_history
from autohedge.faultsim.random_answers import random_answers
from autohedge.faultsim.random_commands import random_commands
from autohedge.faultsim.random_directions import (
    CHOICES,
    Directions,
    direction_settings,
    random_directions,
)
from autohedge.faultsim.random_history import random_history, settings_of, tape_of_history
from autohedge.faultsim.random_market import CALM_S, ROWS, TradingSessions, random_sessions
from autohedge.strategies import build

SEEDS = range(120)
seeds = st.integers(0, 2**40)


@cache
def _history(seed: int) -> History:
    return random_history(seed)


@budget(max_examples=20, deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    assert random_history(seed) == random_history(seed) != random_history(seed + 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_history_survives_its_file(seed: int, tmp_path: Path) -> None:
    write_history(_history(seed), tmp_path / "history.json")
    assert read_history(tmp_path / "history.json") == _history(seed)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_commands_and_feed_faults_have_streams_of_their_own(seed: int) -> None:
    sessions = random_sessions(seeded_random(str(seed), "sessions"))
    assert _history(seed).commands == random_commands(seeded_random(str(seed), "commands"), sessions)
    feed = random_feed_strikes(seeded_random(str(seed), "feed"), sessions)
    assert _history(seed).strikes[: len(feed)] == feed


@budget(max_examples=20, deadline=None)
@given(seeds)
def test_clean_quotes_are_valid_and_in_order(seed: int) -> None:
    history = random_history(seed)
    rows = sum(len(quotes.bid) for quotes in history.market)
    assert ROWS <= rows <= ROWS + 4 * 140
    for quotes in history.market:
        bid, ask = np.array(quotes.bid), np.array(quotes.ask)
        assert (bid > 0).all() and (ask >= bid).all() and np.isfinite(ask).all()
        assert (np.diff(quotes.after_ns) >= 0).all() and quotes.after_ns[0] >= 0


@budget(max_examples=20, deadline=None)
@given(seeds, st.booleans())
def test_a_calm_without_faults_ends_the_tape(seed: int, gaps: bool) -> None:
    history = random_history(seed)
    if not gaps:
        strikes = [strike for strike in history.strikes if strike.fault != FeedFault.GAP]
        history = msgspec.structs.replace(history, strikes=strikes)
    rows = tape_of_history(history).rows
    calm = (rows.ts >= history.calm_ns) & (True if rows.kinds is None else rows.kinds.priced)
    assert rows.ts[-1] - history.calm_ns >= CALM_S * NS_PER_S
    assert ((rows.bid > 0) & (rows.ask >= rows.bid))[calm].all()
    assert np.diff(rows.ts[calm]).max() <= 5 * NS_PER_S
    assert max(strike.at_ns for strike in history.strikes) < history.calm_ns
    assert max(command.at_ns for command in history.commands) < history.calm_ns


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 10**15)), max_size=3),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=5),
)
def test_times_of_trading_are_the_same_one_by_one_and_as_a_column(
    breaks: list[tuple[int, int]], traded: list[int]
) -> None:
    sessions = TradingSessions(7, 10**12, tuple(breaks))
    column = sessions.with_breaks(np.array(traded, np.int64)) + sessions.start_ns
    assert column.tolist() == [sessions.at_ns(each) for each in traded]


def test_settings_of_every_history_are_valid_and_its_strategy_can_be_built() -> None:
    for seed in SEEDS[:40]:
        settings, tape = settings_of(_history(seed)), tape_of_history(_history(seed))
        assert set(settings.instruments) == set(tape.symbols)
        assert len(build(settings, tape.streams).lanes) == len(tape.symbols)


def test_histories_have_midnights_days_and_instruments_of_different_price() -> None:
    seen: Counter[str] = Counter()
    for history in map(_history, SEEDS):
        last_ns = history.start_ns + history.market[0].after_ns[-1]
        pause_ns = np.diff(history.market[0].after_ns).max()
        seen["midnight"] += history.start_ns // NS_PER_DAY < last_ns // NS_PER_DAY
        seen["days"] += bool(pause_ns > NS_PER_HOUR)
        seen["prices"] += _price_ratio(history.market) > 1_000
        seen[f"{len(history.market)} symbols"] += 1
    assert min(seen[f"{count} symbols"] for count in (1, 2, 3, 4)) > 3
    assert min(seen["midnight"], seen["days"], seen["prices"]) > 20


def _price_ratio(market: list[Quotes]) -> float:
    first = [quotes.bid[0] for quotes in market]
    return max(first) / min(first)


def test_histories_have_every_command_and_requests_that_are_sent_again() -> None:
    sent = [command for history in map(_history, SEEDS) for command in history.commands]
    assert {command.command for command in sent} == set(get_args(CommandName))
    repeated = 0
    for history in map(_history, SEEDS):
        requests = [command.request_id for command in history.commands if command.request_id]
        repeated += len(set(requests)) < len(requests)
    assert repeated > len(SEEDS) / 2


def test_histories_change_settings_that_may_change_during_a_run() -> None:
    changed = {
        name for history in map(_history, SEEDS) for change in history.changes for name in change.changes
    }
    assert Applies.RESTART not in map(applies_at, changed)
    assert {name.split(".")[0] for name in changed} >= {
        "sizing",
        "exits",
        "execution",
        "risk",
        "symbol_overrides",
    }
    assert sum(bool(history.changes) for history in map(_history, SEEDS)) > len(SEEDS) / 2


def test_half_of_the_histories_enter_longs_alone() -> None:
    drawn = Counter(random_directions(seeded_random(str(seed), "directions"), "hft") for seed in range(400))
    assert set(drawn) == set(CHOICES) and min(drawn.values()) > 8
    assert 170 < sum(count for each, count in drawn.items() if each.direction == "long") < 230


def test_agents_may_turn_to_the_other_side_in_many_histories() -> None:
    drawn = [random_directions(seeded_random(str(seed), "directions"), "llm") for seed in range(400)]
    assert 140 < drawn.count(Directions("both", "covered")) < 200


def test_histories_of_longs_are_as_without_directions() -> None:
    assert direction_settings(CHOICES[0], {}) == {}
    seed = next(seed for seed in SEEDS if _directions(_history(seed)) == {"long"})
    history = _history(seed)
    settings, symbols = settings_of(history), [quotes.symbol for quotes in history.market]
    assert history.answers == random_answers(seeded_random(str(seed), "answers"), settings, symbols)


def test_agents_propose_shorts_where_shorts_are_drawn() -> None:
    for history in filter(lambda each: each.answers, map(_history, SEEDS)):
        direction = history.settings["trading"].get("direction", "long")
        assert _directions(history) <= {"long", "short"}
        assert ("short" in _directions(history)) is (direction != "long")


def _directions(history: History) -> set[str]:
    answers = [answer for given in history.answers.values() for answer in given]
    return {answer.direction for answer in answers} - {"", "exit"}


VARIED = {
    "trading.mode": 3,
    "trading.direction": 3,
    "account.kind": 2,
    "strategy.name": 6,
    "bars.every": 3,
    "bars.source": 3,
    "execution.time_in_force": 2,
    "execution.twap_slices": 4,
    "execution.reprice_after_s": 3,
    "execution.aggression_bps": 3,
    "reconciliation.external": 3,
    "reconciliation.every_s": 3,
    "exits.max_hold_s": 4,
    "exits.trailing_activation_bps": 10,
    "risk.max_position_notional": 4,
    "risk.max_exposure_notional": 4,
    "risk.max_order_quantity": 4,
    "risk.min_order_quantity": 4,
    "risk.max_order_notional": 4,
    "risk.min_order_notional": 4,
    "risk.price_band_bps": 4,
    "risk.max_daily_loss_pct": 10,
    "risk.max_orders_per_minute": 4,
    "risk.stale_after_ms": 3,
    "account.taker_bps": 4,
    "account.maker_bps": 4,
    "simulated.partial_fills": 2,
    "hybrid.learn_every_trades": 3,
    "agents.risk": 10,
}


def test_settings_vary_between_histories() -> None:
    values: dict[str, set[str]] = {key: set() for key in VARIED}
    for history in map(_history, SEEDS):
        for key, seen in values.items():
            section, name = key.split(".")
            if name in history.settings.get(section, {}):
                seen.add(str(history.settings[section][name]))
    assert {key: len(seen) for key, seen in values.items() if len(seen) < VARIED[key]} == {}
