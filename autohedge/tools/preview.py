"""A snapshot of a tape without an engine, for an account that has not traded."""

from decimal import Decimal

import numpy as np

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import BarWindow, PositionView, QuoteRow, Snapshot
from autohedge.market import Rows, Stream
from autohedge.market.columns import Column

QUOTES = 50
FLAT = PositionView(Decimal(0), 0.0, 0.0, 0.0)


def preview(settings: Settings, stream: Stream, at_ns: int | None = None) -> Snapshot:
    """Returns a snapshot with the stream's last quotes at `at_ns`, or at its end, and the initial cash.

    Raises Misconfigured if there is no valid quote by then.
    """
    # The engine loads numba, which the agents' process does not need.
    from autohedge.engine.deliberations.coordinator import agent_limits

    quotes, seen = _quotes(stream, at_ns)
    if not quotes:
        raise Misconfigured(f"{stream.symbol}: no valid quote so early; choose a later --at")
    cash = settings.account.initial_cash
    return Snapshot(
        number=0,
        kind="gate",
        symbol=stream.symbol,
        at_ns=quotes[-1].ts_ns if at_ns is None else at_ns,
        quotes=quotes,
        valid_quotes=seen,
        position=FLAT,
        cash=cash,
        equity=cash,
        buying_power=cash,
        exposure=Decimal(0),
        state="active",
        gate="closed",
        limits=agent_limits(settings.for_symbol(stream.symbol)),
        bars=_bars(settings, stream, at_ns),
    )


def valid_quotes(stream: Stream, at_ns: int | None = None) -> dict[str, Column]:
    """Returns the columns of the stream's valid quotes up to `at_ns`, or of all."""
    columns = stream.as_quotes()
    known = len(stream) if at_ns is None else int(np.searchsorted(columns["ts"], at_ns, side="right"))
    bid, ask = columns["bid"][:known], columns["ask"][:known]
    valid = np.flatnonzero((bid > 0) & (ask >= bid) & (ask < np.inf))
    return {name: columns[name][valid] for name in _ROW}


def _quotes(stream: Stream, at_ns: int | None) -> tuple[tuple[QuoteRow, ...], int]:
    """Returns the last valid quotes up to `at_ns`, and the number of all valid quotes up to then."""
    columns = valid_quotes(stream, at_ns)
    rows = zip(*(columns[name][-QUOTES:].tolist() for name in _ROW), strict=True)
    return tuple(QuoteRow(*row) for row in rows), len(columns["ts"])


def _bars(settings: Settings, stream: Stream, at_ns: int | None) -> tuple[BarWindow, ...]:
    """Returns the windows of bars that an engine would have by `at_ns`."""
    from autohedge.market.bar_rings import BarRings, bar_windows

    columns = valid_quotes(stream, at_ns)
    rings = BarRings(1, bar_windows(settings.tools.bars))
    until_ns = int(columns["ts"][-1]) if at_ns is None else at_ns
    rings.extend(Rows.of(columns["ts"], columns["bid"], columns["ask"]), 0, len(columns["ts"]))
    return rings.windows(0, until_ns)


_ROW = ("ts", "bid", "bid_size", "ask", "ask_size")
