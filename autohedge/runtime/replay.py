"""Replay: feeds the recorded inputs to a fresh engine and compares every output with the record."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from autohedge.core.errors import AutoHedgeError
from autohedge.core.events import Alert, AnyEvent, CancelOrder, Input, JournalEntry, TradingStateChanged
from autohedge.engine.engine import Engine
from autohedge.market.rows import Rows

NO_EVENT = "nothing"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference between replay and record: its seq, its field, and both values."""

    seq: int
    field: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        return f"seq {self.seq}, {self.field}: recorded {self.recorded}, replayed {self.replayed}"


def same_entry(recorded: JournalEntry, produced: JournalEntry, *, compare_texts: bool) -> bool:
    """Whether two entries are equal, with or without the texts that explain halts, cancels and alerts."""
    if recorded == produced:
        return True
    if compare_texts or (recorded.seq, recorded.pos) != (produced.seq, produced.pos):
        return False
    return _without_text(recorded.event) == _without_text(produced.event)


def _without_text(event: AnyEvent) -> AnyEvent:
    match event:
        case TradingStateChanged() | CancelOrder():
            return msgspec.structs.replace(event, reason="")
        case Alert():
            return msgspec.structs.replace(event, text="")
        case _:
            return event


def replay(
    engine: Engine, rows: Rows, record: Iterable[JournalEntry], *, compare_texts: bool = True
) -> Difference | None:
    """Replays a record with `engine`; returns the first difference, or None if all of it is reproduced.

    A record that ends early is compared as far as it goes.
    """
    for recorded in record:
        try:
            produced = _next_entry(engine, rows, recorded)
        except (AutoHedgeError, ArithmeticError) as error:
            return Difference(recorded.seq, "event", _summary(recorded), f"refused: {error}")
        if produced is None:
            return Difference(recorded.seq, "event", _summary(recorded), NO_EVENT)
        if not same_entry(recorded, produced, compare_texts=compare_texts):
            return _compare(recorded, produced)
    return None


def _next_entry(engine: Engine, rows: Rows, recorded: JournalEntry) -> JournalEntry | None:
    """The engine's event at the place of `recorded`; None if it has none there."""
    end = min(recorded.pos, len(rows))
    # Outputs that are left over come before any further row or input: they belong to an earlier seq.
    while not engine.log and engine.pos < end:
        engine.scan(rows, engine.pos, end)
    if not engine.log and isinstance(recorded.event, Input):
        engine.step(recorded.event)
    engine.questions.clear()  # the record has their answers
    return engine.log.popleft() if engine.log else None


def _compare(recorded: JournalEntry, produced: JournalEntry) -> Difference:
    same_kind = type(produced.event) is type(recorded.event)
    if same_kind and produced.seq == recorded.seq and produced.pos != recorded.pos:
        return Difference(recorded.seq, "pos", str(recorded.pos), str(produced.pos))
    if produced.seq != recorded.seq or not same_kind:
        first = min(recorded, produced, key=lambda entry: entry.seq)
        both = recorded.seq == produced.seq
        return Difference(
            first.seq,
            "event",
            _summary(recorded) if both or first is recorded else NO_EVENT,
            _summary(produced) if both or first is produced else NO_EVENT,
        )
    old, new = msgspec.to_builtins(recorded.event), msgspec.to_builtins(produced.event)
    field, was, is_now = _first_field(old, new)
    return Difference(recorded.seq, f"{old['type']}.{field}", str(was), str(is_now))


def _first_field(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, Any, Any]:
    """The first field that differs, as a dotted path to a nested one, with both values."""
    for key in [*old, *(key for key in new if key not in old)]:
        was, is_now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(is_now, dict) and was != is_now:
            inner, was, is_now = _first_field(was, is_now)
            return f"{key}.{inner}", was, is_now
        if was != is_now:
            return key, was, is_now
    return "event", old, new


def _summary(entry: JournalEntry) -> str:
    """An event in short: its type, and an order's side, quantity, symbol and reason."""
    event = msgspec.to_builtins(entry.event)
    parts = [event[key] for key in ("side", "quantity", "symbol", "kind", "reason") if event.get(key)]
    return " ".join([event["type"], *map(str, parts)])
