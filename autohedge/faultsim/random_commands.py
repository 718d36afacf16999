"""Random commands of a history: what an operator does, and when the runtime lags."""

from collections.abc import Iterator

import msgspec

from autohedge.core.ids import Randomness
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.history import CommandName, ScheduledCommand
from autohedge.faultsim.random_market import TradingSessions

RESUMES = 24


def random_commands(draw: Randomness, sessions: TradingSessions) -> list[ScheduledCommand]:
    """Draws the commands of a history, in order."""
    commands = [*_resumes(draw, sessions), *_halts(draw, sessions), *_flattens(draw, sessions)]
    if draw.random() < 0.2:
        commands += _lag(draw, sessions)
    commands += _wrong_resumes(draw, sessions)
    commands += [*_pauses(draw, sessions), *_cancels_and_syncs(draw, sessions)]
    return sorted(_sent_again(draw, sessions, commands), key=lambda command: command.at_ns)


def _resumes(draw: Randomness, sessions: TradingSessions) -> Iterator[ScheduledCommand]:
    """Regular resumes: a history that stays halted after its first fault tests no entries."""
    for step in range(1, RESUMES):
        yield ScheduledCommand(sessions.at_ns(sessions.trading_ns * step // RESUMES), "resume")
    if draw.random() < 0.3:  # for a while every two seconds, soon after whatever halts
        first_ns = _random_ns(draw, sessions)
        yield from (_command(sessions, first_ns, 2.0 * count, "resume") for count in range(12))


def _wrong_resumes(draw: Randomness, sessions: TradingSessions) -> Iterator[ScheduledCommand]:
    """Resumes that name no automatic halt, or another one than that in force."""
    for _ in range(draw.choice([0, 4, 8])):
        at_ns = sessions.at_ns(_random_ns(draw, sessions))
        yield ScheduledCommand(at_ns, "resume", halt_id=draw.choice(["", "halt-0"]))


def _halts(draw: Randomness, sessions: TradingSessions) -> Iterator[ScheduledCommand]:
    """A halt or none; sometimes repeated, sometimes lifted soon."""
    if draw.random() < 0.5:
        first_ns = _random_ns(draw, sessions)
        yield _command(sessions, first_ns, 0.0, "halt")
        if draw.random() < 0.3:
            yield _command(sessions, first_ns, draw.uniform(0, 2), "halt")
        if draw.random() < 0.6:
            yield _command(sessions, first_ns, draw.uniform(0, 6), "resume")


def _flattens(draw: Randomness, sessions: TradingSessions) -> Iterator[ScheduledCommand]:
    """Up to three times: a resume, a flatten while entries go on, perhaps a second one, and a resume."""
    for _ in range(draw.choice([0, 0, 1, 1, 2, 3])):
        first_ns = _random_ns(draw, sessions)
        yield _command(sessions, first_ns, 0.0, "resume")
        after_s = draw.uniform(1, 12)
        yield _command(sessions, first_ns, after_s, "flatten")
        if draw.random() < 0.3:
            yield _command(sessions, first_ns, after_s + draw.uniform(0, 3), "flatten")
        if draw.random() < 0.7:
            yield _command(sessions, first_ns, after_s + draw.uniform(0, 8), "resume")


def _pauses(draw: Randomness, sessions: TradingSessions) -> Iterator[ScheduledCommand]:
    """Up to three pauses; some with a second pause, a halt or a cancel of all orders before they are lifted."""
    for _ in range(draw.choice([0, 1, 1, 2, 3])):
        first_ns = _random_ns(draw, sessions)
        yield _command(sessions, first_ns, 0.0, "pause")
        if draw.random() < 0.5:
            command: CommandName = draw.choice(["pause", "halt", "cancel_all", "flatten"])
            yield _command(sessions, first_ns, draw.uniform(0, 3), command)
        if draw.random() < 0.6:
            yield _command(sessions, first_ns, draw.uniform(0, 8), "resume")


def _cancels_and_syncs(draw: Randomness, sessions: TradingSessions) -> Iterator[ScheduledCommand]:
    """Cancels of all orders and reconciliations at random moments."""
    for _ in range(draw.choice([0, 2, 4])):
        yield _command(sessions, _random_ns(draw, sessions), 0.0, draw.choice(["cancel_all", "sync"]))


def _sent_again(
    draw: Randomness, sessions: TradingSessions, commands: list[ScheduledCommand]
) -> Iterator[ScheduledCommand]:
    """The commands with actors and request ids; a few are sent up to three times, some of them after a crash."""
    end_ns = sessions.at_ns(sessions.trading_ns) - 1
    for number, command in enumerate(commands):
        if command.command == "lag" or draw.random() < 0.5:
            yield command
            continue
        actor, request_id = draw.choice(["anna", "night shift"]), f"r{number}"
        request = msgspec.structs.replace(command, actor=actor, request_id=request_id)
        yield request
        for _ in range(draw.choice([0, 0, 0, 1, 2])):
            later_ns = request.at_ns + int(draw.choice([2, 20, 60]) * draw.random() * NS_PER_S)
            yield msgspec.structs.replace(request, at_ns=min(later_ns, end_ns))


def _lag(draw: Randomness, sessions: TradingSessions) -> Iterator[ScheduledCommand]:
    """A lag beyond the limit, and its end."""
    first_ns = _random_ns(draw, sessions)
    yield ScheduledCommand(sessions.at_ns(first_ns), "lag", 5_000.0)
    yield ScheduledCommand(sessions.at_ns(first_ns + int(draw.uniform(0.5, 20) * NS_PER_S)), "lag", 1.0)


def _random_ns(draw: Randomness, sessions: TradingSessions) -> int:
    """A time of trading that leaves room for what follows the first command."""
    return int(draw.uniform(0.02, 0.75) * sessions.trading_ns)


def _command(
    sessions: TradingSessions, first_ns: int, after_s: float, command: CommandName
) -> ScheduledCommand:
    return ScheduledCommand(sessions.at_ns(first_ns + int(after_s * NS_PER_S)), command)
