"""Helpers that many tests share: settings, tapes in memory, runs without a disk."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autohedge import config
from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.config.environment import PREFIX
from autohedge.config.legacy_env import SETTINGS as LEGACY
from autohedge.core.events import AccountState, JournalEntry, OrderMassStatus, RunStarted
from autohedge.core.ids import nonce_from_seed
from autohedge.core.results import RunResult
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import FaultScript, SimulatedVenue, VenueModel, lots_of, no_faults
from autohedge.market import Stream, Tape, tape_of
from autohedge.runtime.virtual import VirtualRuntime

Quotes = Sequence[tuple[int, float | None, float | None]]


def settings(**overrides: Any) -> Settings:
    """Returns the shipped settings with changes such as `momentum__lookback=3`; hft mode is the default."""
    changes = {"trading__mode": "hft", "hybrid__cache_verdicts": False} | overrides
    lines = tuple(f"{k.replace('__', '.')}={_toml(v)}" for k, v in changes.items())
    # Settings never change, and to resolve them takes 15 ms; tests and their examples want the same again and again.
    if Path("config.toml").exists() or Path(".env").exists():
        return config.load(overrides=lines)
    return _loaded(
        lines, frozenset((n, v) for n, v in os.environ.items() if n.upper() in LEGACY or PREFIX in n.upper())
    )


@cache
def _loaded(lines: tuple[str, ...], _environment: frozenset[tuple[str, str]]) -> Settings:
    return config.load(overrides=lines)


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def quotes_tape(quotes: Quotes, symbol: str = "X") -> Tape:
    """Returns a tape in memory from (ts_ns, bid, ask); None is a missing price."""
    ts, bid, ask = zip(*quotes, strict=True)
    return columns_tape({symbol: {"ts": ts, "bid": _prices(bid), "ask": _prices(ask)}})


def columns_tape(streams: Mapping[str, Mapping[str, ArrayLike]]) -> Tape:
    """Returns a tape in memory from columns per symbol."""
    return tape_of([Stream.of(symbol, columns) for symbol, columns in streams.items()])


def _prices(values: Sequence[float | None]) -> ArrayLike:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def begun(engine: Engine, nonce: str = "n") -> Engine:
    """Starts an engine and reconciles it with a venue that has no orders and no positions, only the cash."""
    engine.step(RunStarted(nonce))
    engine.step(OrderMassStatus(0, 0, ()))
    engine.step(AccountState(0, 0, engine.ledger.cash, {}))
    engine.log.clear()
    return engine


class Recording(list[JournalEntry]):
    """A recorder that keeps its entries in memory."""


@dataclass
class Played:
    """A finished run, kept in memory."""

    engine: Engine
    record: Recording

    @property
    def result(self) -> RunResult:
        return self.engine.result()

    def events(self, kind: type) -> list[Any]:
        return [entry.event for entry in self.record if isinstance(entry.event, kind)]


def play(wanted: Settings, tape: Tape, faults: FaultScript = no_faults) -> Played:
    """Runs a tape in virtual time, recorded in memory."""
    engine, record, nonce = engine_for(wanted, tape), Recording(), nonce_from_seed(wanted.seed)
    lots = lots_of(wanted, tape.symbols)
    venue = SimulatedVenue(VenueModel.of(wanted, tape.symbols), lots, tape.rows, nonce=nonce, faults=faults)
    VirtualRuntime(engine, venue, tape.rows, record, clock=venue).run(nonce)
    return Played(engine, record)
