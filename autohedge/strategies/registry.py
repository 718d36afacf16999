"""Strategies by name, and the loading of a user's own."""

import atexit
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured, StrategyFailed
from autohedge.core.text import did_you_mean
from autohedge.kernels.state import BOTH, LONG_ONLY, SHORT_ONLY
from autohedge.market.derived import require_bars
from autohedge.market.reads import PRICES, Reads
from autohedge.market.stream import KINDS, PRICE_KINDS, Kind, Stream, prices_of
from autohedge.strategies import crossover, momentum, none
from autohedge.strategies.interface import StrategyRunner
from autohedge.strategies.method_checks import check_methods, kinds_read
from autohedge.strategies.python import PythonStrategyRunner, Strategy
from autohedge.strategies.row_dispatch import METHODS
from autohedge.strategies.user_code import StrategyModuleFinder, StrategySources, forget_user_modules, root_of

Build = Callable[[Settings, Sequence[Stream]], StrategyRunner]

_MAKE_BARS = "set bars.every, such as 1m, to make bars"
DIRECTIONS = {"long": LONG_ONLY, "short": SHORT_ONLY, "both": BOTH}


class _BuiltIn(NamedTuple):
    """A strategy of this package: the kinds of prices that it takes, what it reads, and what makes it."""

    prices: frozenset[Kind]
    reads: Callable[[Settings], Reads]
    build: Build


_BUILT_IN = {
    "momentum": _BuiltIn(momentum.READS, momentum.reads, momentum.build),
    "crossover": _BuiltIn(crossover.READS, crossover.reads, crossover.build),
}


def names() -> tuple[str, ...]:
    """Returns the names of the built-in strategies."""
    return tuple(sorted(_BUILT_IN))


def build(settings: Settings, streams: Sequence[Stream]) -> StrategyRunner:
    """Returns the strategy that the settings name, bound to the streams; in llm mode the placeholder.

    Raises Misconfigured for an unknown name, or for a stream of a kind that the strategy cannot read.
    """
    strategy = _build(settings, streams)
    strategy.lanes["direction"] = DIRECTIONS[settings.trading.direction]
    return strategy


def reads_of(settings: Settings) -> Reads:
    """Returns what the strategy of the settings reads; in llm mode prices alone.

    Raises Misconfigured for an unknown name, or for settings of bars that are not understood.
    """
    require_bars(settings.bars)
    name = settings.strategy.name
    if settings.trading.mode == "llm":
        return PRICES
    if ":" in name:
        loaded = _loaded.get(name) or _load(name)
        return Reads(kinds_read(loaded.strategy), lambda _: settings.bars)
    return _built_in(name).reads(settings)


def _built_in(name: str) -> _BuiltIn:
    if name not in _BUILT_IN:
        hint = did_you_mean(name, names()) or f"use {', '.join(names())}, or file.py:Class"
        msg = f"unknown strategy {name}; {hint}"
        raise Misconfigured(msg)
    return _BUILT_IN[name]


def _build(settings: Settings, streams: Sequence[Stream]) -> StrategyRunner:
    if settings.trading.mode == "llm":
        return none.build(settings, streams)
    name = settings.strategy.name
    if ":" in name:
        loaded = _load(name)
        _require_kinds(name, kinds_read(loaded.strategy), streams)
        return PythonStrategyRunner(loaded.strategy, settings, streams, loaded.code)
    built_in = _built_in(name)
    for stream in prices_of(streams):
        if stream.kind not in built_in.prices:
            raise _unfit(name, built_in.prices, stream)
    return built_in.build(settings, streams)


def _require_kinds(name: str, kinds: frozenset[Kind], streams: Sequence[Stream]) -> None:
    """Refuses a tape on which an instrument lacks a kind of rows that the strategy reads."""
    for prices in prices_of(streams):
        held = {each.kind for each in streams if each.symbol == prices.symbol and each.origin.read}
        missing = [kind for kind in KINDS if kind in kinds - held]
        if missing and len(kinds) == 1 and kinds <= set(PRICE_KINDS):
            raise _unfit(name, kinds, prices)
        if missing:
            wanted = " and ".join(missing)
            cure = _MAKE_BARS if missing == [Kind.BARS] else "add its file with --tape"
            raise Misconfigured(
                f"strategy {name} reads {wanted}, but the tape of {prices.symbol} holds none; "
                f"{cure}, or choose another tape or strategy"
            )


def _unfit(name: str, kinds: frozenset[Kind], stream: Stream) -> Misconfigured:
    wanted = " or ".join(sorted(kinds))
    msg = f"strategy {name} reads {wanted}, but the tape of {stream.symbol} holds {stream.kind}"
    cure = "choose another tape or strategy"
    if ":" in name and kinds == {Kind.BARS}:
        cure = f"{_MAKE_BARS}, or {cure}"
    elif ":" in name:
        cure = f"define {METHODS[stream.kind]} and write reads = Kind.{stream.kind.name}, or {cure}"
    return Misconfigured(f"{msg}; {cure}")


def sources_of(settings: Settings) -> StrategySources | None:
    """Returns the sources of the strategy that trades; None for a built-in one, or if agents trade alone."""
    name = settings.strategy.name
    if ":" not in name or settings.trading.mode == "llm":
        return None
    return (_loaded.get(name) or _load(name)).sources


def use_stored(strategy: Path, module: str | None, modules: Mapping[str, Path]) -> None:
    """Lets a stored strategy import the modules that were recorded with it, instead of those on this machine.

    `module` is the name under which it was imported, None for a file.
    """
    _stored[strategy] = (module, modules)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A user's strategy: its class, its code and its sources."""

    strategy: type[Strategy]
    code: StrategyModuleFinder
    sources: StrategySources | None


_loaded: dict[str, _Loaded] = {}
"""The newest load of each name: what is recorded is what was run, also if a file has changed since."""
_stored: dict[Path, tuple[str | None, Mapping[str, Path]]] = {}


def _load(name: str) -> _Loaded:
    place, _, class_name = name.rpartition(":")
    forget_user_modules()
    code, module, module_name = _run(place)
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        msg = f"strategy {name}: {place} has no class {class_name} that extends autohedge.strategies.Strategy"
        raise Misconfigured(f"{msg}{_classes_hint(module, class_name)}")
    check_methods(found)
    _loaded[name] = loaded = _Loaded(found, code, code.sources_of(module, module_name))
    # What it prints when the process ends comes after the results.
    atexit.unregister(_keep_stdout)
    atexit.register(_keep_stdout)
    return loaded


def _keep_stdout() -> None:
    """Keeps stdout for results; runs before the exit handlers of the strategy."""
    sys.stdout = sys.stderr


def _classes_hint(module: ModuleType, class_name: str) -> str:
    hint = did_you_mean(class_name, vars(module))
    return f"; {hint}" if hint else ""


def _run(place: str) -> tuple[StrategyModuleFinder, ModuleType, str | None]:
    """Runs a file or imports a module; returns its code, the module, and the name of a module."""
    path, module_name = Path(place), None if place.endswith(".py") else place
    if module_name is None and not path.is_file():
        msg = f"strategy {path}: no such file; check the name"
        raise Misconfigured(msg)
    if path in _stored:
        module_name, stored = _stored[path]
        code = StrategyModuleFinder(None, stored)
    else:
        code = StrategyModuleFinder(path.absolute().parent if module_name is None else root_of(module_name))
    try:
        module = code.load_module(module_name) if module_name else code.load_file(path.absolute())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything, SystemExit too
        failure = code.failure(error, "cannot be loaded", "while it was loaded")
        raise StrategyFailed(f"strategy {place} {failure}") from error
    return code, module, module_name
