"""A history: all that decides one run of the simulation, as data in one file that needs no seed."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from autohedge.core.errors import Misconfigured
from autohedge.core.events import Proposal
from autohedge.faultsim.strikes import Strike
from autohedge.market.stream import Kind

CommandName = Literal["halt", "resume", "flatten", "pause", "cancel_all", "sync", "lag"]


class Quotes(msgspec.Struct, frozen=True):
    """The quotes of one symbol, without faults: times in ns after the start of the market, and four columns."""

    symbol: str
    after_ns: list[int]
    bid: list[float]
    ask: list[float]
    bid_size: list[float]
    ask_size: list[float]


class Level(NamedTuple):
    """A level of a book message: `side` is 1 for a bid, -1 for an ask; size 0 removes it."""

    side: int
    price: float
    size: float


class Feed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rows of one symbol of a kind beside its quotes, without faults: times as in `Quotes`, and columns.

    The columns are those of the kind in `market.stream.COLUMNS`. A row of a book is a message, with its `levels`.
    """

    symbol: str
    kind: Kind
    after_ns: list[int]
    columns: dict[str, list[int | float]]
    tick: float = 0.0
    levels: list[list[Level]] = []


class ScriptedAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the agents answer to one question, `delay` (a share of the deadline) after it was asked."""

    delay: float
    verdict: str
    direction: str = ""
    code: str = ""
    proposal: Proposal | None = None


class ScheduledCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operator or the machine does at a time: a command, or `lag` with its length.

    A `resume` without `halt_id` names the halt in force. Commands with the same `request_id` are one request that
    is sent again, because nobody saw its answer.
    """

    at_ns: int
    command: CommandName
    lag_ms: float = 0.0
    halt_id: str | None = None
    actor: str = ""
    request_id: str = ""


class ScheduledChange(msgspec.Struct, frozen=True):
    """Settings that a person changes at a time: the new value of each by its full name, None where it has none."""

    at_ns: int
    changes: dict[str, bool | int | float | str | None]


class History(msgspec.Struct, frozen=True):
    """One run of the simulation.

    `settings` are the settings that differ from the shipped ones, as in a configuration file. `answers` are
    used in turn by the questions of a symbol and kind (`SYMBOL KIND`). No fault happens from `calm_ns` on.
    `feeds` are the rows of other kinds, in some histories. `note` says what the history showed when it was found.
    """

    note: str
    nonce: str
    start_ns: int
    calm_ns: int
    settings: dict[str, Any]
    market: list[Quotes]
    strikes: list[Strike]
    commands: list[ScheduledCommand] = []
    changes: list[ScheduledChange] = []
    answers: dict[str, list[ScriptedAnswer]] = {}
    feeds: list[Feed] = []


def read_history(path: Path) -> History:
    """Reads a history file. Raises Misconfigured if it cannot be read or holds no history."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=History)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}; name a file that --shrink has written") from None
    except msgspec.MsgspecError as error:
        raise Misconfigured(f"{path}: this is no history of the simulation: {error}") from None


def write_history(history: History, path: Path) -> None:
    """Writes a history file, one line per column of quotes, strike, command and answer."""
    path.write_text(_indented(msgspec.to_builtins(history)) + "\n", encoding="utf-8")


def _indented(value: Any, indent: int = 1) -> str:
    """JSON with one line per element, down to elements that hold no further lists of objects."""
    if not isinstance(value, dict | list) or not value or _is_flat(value):
        return msgspec.json.encode(value).decode()
    space = " " * indent
    left, right = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if isinstance(value, dict):
        lines = [
            f"{space}{msgspec.json.encode(k).decode()}:{_indented(v, indent + 1)}" for k, v in value.items()
        ]
    else:
        lines = [f"{space}{_indented(element, indent + 1)}" for element in value]
    return "\n".join([left, ",\n".join(lines), " " * (indent - 1) + right])


def _is_flat(value: dict[str, Any] | list[Any]) -> bool:
    elements = value.values() if isinstance(value, dict) else value
    return not any(
        isinstance(element, dict) or (isinstance(element, list) and len(element) > 9) for element in elements
    )
