"""All indicators of a set at one live bar, in one call."""

from typing import Any

import numpy as np

from autohedge.kernels import indicators
from autohedge.kernels.indicators import (
    BUY_VOLUME,
    CLOSE,
    HIGH,
    LOW,
    SELL_VOLUME,
    SESSION,
    VOLUME,
    Indicators,
)
from autohedge.kernels.jit import compiled_short, inlined
from autohedge.kernels.windows import Data

KERNELS = (
    indicators.sma,
    indicators.wma,
    indicators.ema,
    indicators.rma,
    indicators.rsi,
    indicators.macd,
    indicators.bollinger,
    indicators.atr,
    indicators.adx,
    indicators.stochastic,
    indicators.cci,
    indicators.obv,
    indicators.roc,
    indicators.momentum,
    indicators.zscore,
    indicators.log_return,
    indicators.realised_volatility,
    indicators.vwap,
    indicators.donchian,
    indicators.keltner,
    indicators.supertrend,
    indicators.cvd,
)
"""The indicators by their `kind`."""


@compiled_short
def add_bar(
    states: Indicators,
    data: Data,
    row: int,
    session: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    buy_volume: float,
    sell_volume: float,
) -> None:
    """Writes the inputs of one bar at place `row`, and computes all indicators there."""
    u = np.uintp(row)
    data[SESSION, u], data[HIGH, u], data[LOW, u], data[CLOSE, u] = session, high, low, close
    data[VOLUME, u], data[BUY_VOLUME, u], data[SELL_VOLUME, u] = volume, buy_volume, sell_volume
    for at in range(len(states)):
        _compute(states[at], data, row, row + 1)


@inlined
def _compute(state: Any, data: Data, start: int, stop: int) -> None:  # noqa: C901, PLR0912  (a table)
    """Calls the kernel of an indicator. Compiled code has no table of functions, so the kinds are numbers here."""
    kind = state["kind"]
    if kind == 0:
        indicators.sma(state, data, start, stop)
    elif kind == 1:
        indicators.wma(state, data, start, stop)
    elif kind == 2:
        indicators.ema(state, data, start, stop)
    elif kind == 3:
        indicators.rma(state, data, start, stop)
    elif kind == 4:
        indicators.rsi(state, data, start, stop)
    elif kind == 5:
        indicators.macd(state, data, start, stop)
    elif kind == 6:
        indicators.bollinger(state, data, start, stop)
    elif kind == 7:
        indicators.atr(state, data, start, stop)
    elif kind == 8:
        indicators.adx(state, data, start, stop)
    elif kind == 9:
        indicators.stochastic(state, data, start, stop)
    elif kind == 10:
        indicators.cci(state, data, start, stop)
    elif kind == 11:
        indicators.obv(state, data, start, stop)
    elif kind == 12:
        indicators.roc(state, data, start, stop)
    elif kind == 13:
        indicators.momentum(state, data, start, stop)
    elif kind == 14:
        indicators.zscore(state, data, start, stop)
    elif kind == 15:
        indicators.log_return(state, data, start, stop)
    elif kind == 16:
        indicators.realised_volatility(state, data, start, stop)
    elif kind == 17:
        indicators.vwap(state, data, start, stop)
    elif kind == 18:
        indicators.donchian(state, data, start, stop)
    elif kind == 19:
        indicators.keltner(state, data, start, stop)
    elif kind == 20:
        indicators.supertrend(state, data, start, stop)
    elif kind == 21:
        indicators.cvd(state, data, start, stop)
