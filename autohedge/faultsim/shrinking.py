"""Shrinks a history that fails to the fewest faults and the shortest market with which it still fails."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, product
from typing import TypeVar

import msgspec

from autohedge.core.errors import Misconfigured
from autohedge.core.ids import Randomness, seeded_random
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.history import Feed, History, Quotes, ScriptedAnswer
from autohedge.faultsim.scenario import ScenarioResult, run_history
from autohedge.faultsim.strikes import Strike

T = TypeVar("T")
CALM_NS = 120 * NS_PER_S
TRIES = 1_000
FEW = 3


def shrink(history: History, progress: Callable[[History], None] = lambda _: None) -> History | None:
    """Returns the smallest history found that violates the same invariant; None if it violates none.

    Leaves out faults, then the end, the feeds, the symbols and the beginning of the market, commands, changes of
    settings and answers, and once more faults. `progress` receives each smaller history.
    """
    violation = run_history(history).violation
    if violation is None:
        return None
    kind = violation.partition(":")[0]

    def fails(candidate: History) -> bool:
        try:
            outcome = run_history(candidate)
        except Misconfigured:  # what the strategy reads was left out
            return False
        return outcome.violation is not None and outcome.violation.partition(":")[0] == kind

    for reduce in (
        _fewer_strikes,
        _other_times,
        _earlier_end,
        _fewer_feeds,
        _fewer_symbols,
        _later_start,
        _fewer_commands,
        _fewer_strikes,
        _earlier_end,
    ):
        history = reduce(history, fails)
        progress(history)
    history = msgspec.structs.replace(history, answers=_used_answers(history))
    return msgspec.structs.replace(history, note=run_history(history).violation or "")


Fails = Callable[[History], bool]


def _fewer_strikes(history: History, fails: Fails) -> History:
    kept = _fewest(history.strikes, lambda strikes: fails(msgspec.structs.replace(history, strikes=strikes)))
    return msgspec.structs.replace(history, strikes=kept)


def _fewer_commands(history: History, fails: Fails) -> History:
    kept = _fewest(history.commands, lambda kept: fails(msgspec.structs.replace(history, commands=kept)))
    history = msgspec.structs.replace(history, commands=kept)
    changes = _fewest(history.changes, lambda kept: fails(msgspec.structs.replace(history, changes=kept)))
    return msgspec.structs.replace(history, changes=changes)


def _fewer_feeds(history: History, fails: Fails) -> History:
    kept = _fewest(history.feeds, lambda feeds: fails(msgspec.structs.replace(history, feeds=feeds)))
    return msgspec.structs.replace(history, feeds=kept)


def _fewer_symbols(history: History, fails: Fails) -> History:
    kept = _fewest(history.market, lambda market: bool(market) and fails(_of_symbols(history, market)))
    return _of_symbols(history, kept)


def _of_symbols(history: History, market: list[Quotes]) -> History:
    symbols = {quotes.symbol for quotes in market}
    feeds = [feed for feed in history.feeds if feed.symbol in symbols]
    return msgspec.structs.replace(history, market=market, feeds=feeds)


def _earlier_end(history: History, fails: Fails) -> History:
    """Ends the faults and the market as early as the failure allows, to a second."""
    # Later faults cannot have caused a failure that has happened already.
    history = _smaller(history, ended_at(history, run_history(history).ended_ns + NS_PER_S), fails)
    least_ns, most_ns = history.start_ns, history.calm_ns
    while most_ns - least_ns > NS_PER_S:
        middle_ns = (least_ns + most_ns) // 2
        shorter = ended_at(history, middle_ns)
        if fails(shorter):
            history, most_ns = shorter, middle_ns
        else:
            least_ns = middle_ns
    return history


def _later_start(history: History, fails: Fails) -> History:
    """Leaves out the first quotes, in steps that halve."""
    step_ns = (history.calm_ns - history.start_ns) // 2
    while step_ns > NS_PER_S:
        shorter = _started_at(history, history.start_ns + step_ns)
        if all(quotes.after_ns for quotes in shorter.market) and fails(shorter):
            history = shorter
        else:
            step_ns //= 2
    return history


def _other_times(history: History, fails: Fails) -> History:
    """Looks for fewer faults at other times, where leaving one out alone hides the failure."""
    draw = seeded_random(history.nonce, "times")
    while len(history.strikes) > FEW:
        outcome = run_history(history)
        by_chance = (_at_other_times(history, outcome, draw) for _ in range(TRIES))
        candidates = chain(_in_reconciliations(history, outcome), by_chance)
        found = next((candidate for candidate in candidates if fails(candidate)), None)
        if found is None:
            break
        history = _fewer_strikes(found, fails)
    return history


def _in_reconciliations(history: History, outcome: ScenarioResult) -> Iterator[History]:
    """The last few faults from the beginning of each pass on, where many answers come at one time."""
    passes = [at_ns for at_ns in outcome.pass_times_ns if history.start_ns <= at_ns < history.calm_ns]
    for at_ns, count in product(passes, range(1, FEW + 1)):
        first, *others = history.strikes[-count:]
        shift_ns = at_ns - first.at_ns
        strikes = [msgspec.structs.replace(first, at_ns=at_ns, skip=0)]
        strikes += [msgspec.structs.replace(other, at_ns=other.at_ns + shift_ns) for other in others]
        moved = msgspec.structs.replace(history, strikes=strikes)
        yield moved
        yield ended_at(moved, strikes[-1].at_ns + 2 * NS_PER_S)


def _at_other_times(history: History, outcome: ScenarioResult, draw: Randomness) -> History:
    """A few of the faults, together at a time when an order was sent or a reconciliation began."""
    count = draw.randint(1, min(len(history.strikes) - 1, FEW))
    # Mostly the last ones, which are the likeliest causes.
    last = history.strikes[-count:]
    kept = last if draw.random() < 0.6 else draw.sample(history.strikes, count)
    sent_ns = draw.choice([outcome.order_times_ns, outcome.pass_times_ns])
    times_ns = [at_ns for at_ns in sent_ns if history.start_ns <= at_ns < history.calm_ns]
    shift_ns = draw.choice(times_ns) - kept[0].at_ns if times_ns and draw.random() < 0.8 else 0
    moved = [_moved(strike, shift_ns, draw) for strike in kept]
    moved.sort(key=lambda strike: strike.at_ns)
    if draw.random() < 0.5:  # no entry after the faults, whose orders could hide what they did
        history = ended_at(history, moved[-1].at_ns + int(draw.uniform(1, 5) * NS_PER_S))
    return msgspec.structs.replace(history, strikes=moved)


def _moved(strike: Strike, shift_ns: int, draw: Randomness) -> Strike:
    """The strike at another moment; by chance a little later, and with other details."""
    shift_ns += int(draw.uniform(0, 2) * NS_PER_S) if draw.random() < 0.3 else 0
    strike = msgspec.structs.replace(strike, at_ns=strike.at_ns + shift_ns)
    if draw.random() < 0.5:
        strike = msgspec.structs.replace(strike, skip=draw.choice([0, 0, 0, 1, 2, 3]))
    if draw.random() < 0.5:
        values = tuple(round(draw.random(), 2) for _ in range(3))
        strike = msgspec.structs.replace(strike, values=values)
    return strike


def _smaller(history: History, candidate: History, fails: Fails) -> History:
    return candidate if fails(candidate) else history


def ended_at(history: History, calm_ns: int) -> History:
    """The history with no faults from `calm_ns` on, and a market that ends two minutes later."""
    end_ns = min(calm_ns, history.calm_ns) + CALM_NS
    return msgspec.structs.replace(
        history,
        calm_ns=min(calm_ns, history.calm_ns),
        market=[_part(quotes, 0, end_ns - history.start_ns) for quotes in history.market],
        feeds=_parts(history.feeds, 0, end_ns - history.start_ns),
        strikes=[strike for strike in history.strikes if strike.at_ns < calm_ns],
        commands=[command for command in history.commands if command.at_ns < calm_ns],
        changes=[change for change in history.changes if change.at_ns < calm_ns],
    )


def _started_at(history: History, start_ns: int) -> History:
    passed_ns = start_ns - history.start_ns
    return msgspec.structs.replace(
        history,
        start_ns=start_ns,
        market=[_part(quotes, passed_ns, history.calm_ns + CALM_NS) for quotes in history.market],
        feeds=_parts(history.feeds, passed_ns, history.calm_ns + CALM_NS),
        commands=[command for command in history.commands if command.at_ns >= start_ns],
        changes=[change for change in history.changes if change.at_ns >= start_ns],
    )


def _parts(feeds: Sequence[Feed], first_ns: int, end_ns: int) -> list[Feed]:
    """The rows of a span, with times from its start; a feed without any is left out."""
    parts = []
    for feed in feeds:
        kept = _places(feed.after_ns, first_ns, end_ns)
        columns = {name: [column[place] for place in kept] for name, column in feed.columns.items()}
        after_ns = [feed.after_ns[place] - first_ns for place in kept]
        levels = [feed.levels[place] for place in kept] if feed.levels else []
        if kept:
            parts.append(msgspec.structs.replace(feed, after_ns=after_ns, columns=columns, levels=levels))
    return parts


def _places(times_ns: Sequence[int], first_ns: int, end_ns: int) -> list[int]:
    return [place for place, after_ns in enumerate(times_ns) if first_ns <= after_ns < end_ns]


def _part(quotes: Quotes, first_ns: int, end_ns: int) -> Quotes:
    """The quotes of a span, with times from its start."""
    kept = _places(quotes.after_ns, first_ns, end_ns)
    columns = {
        name: [getattr(quotes, name)[place] for place in kept]
        for name in ("after_ns", "bid", "ask", "bid_size", "ask_size")
    }
    columns["after_ns"] = [after_ns - first_ns for after_ns in columns["after_ns"]]
    return Quotes(quotes.symbol, **columns)


def _used_answers(history: History) -> dict[str, list[ScriptedAnswer]]:
    symbols = {quotes.symbol for quotes in history.market}
    return {key: answers for key, answers in history.answers.items() if key.rpartition(" ")[0] in symbols}


def _fewest(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """A small part of the items with which it still fails: delta debugging by ever smaller chunks."""
    kept, size = list(items), max(len(items) // 2, 1)
    while kept:
        smaller = next((part for part in _without_chunks(kept, size) if fails(part)), None)
        if smaller is not None:
            kept = smaller
        elif size == 1:
            break
        else:
            size = max(size // 2, 1)
    return kept


def _without_chunks(items: list[T], size: int) -> Iterator[list[T]]:
    for first in range(0, len(items), size):
        yield items[:first] + items[first + size :]
