"""Strategies by name, and the loading of a user's own."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured
from autohedge.core.text import did_you_mean
from autohedge.market.tape import Kind, Stream
from autohedge.strategies import crossover, momentum, none
from autohedge.strategies.interface import StrategyRunner
from autohedge.strategies.python import PythonStrategyRunner, Strategy

Build = Callable[[Settings, Sequence[Stream]], StrategyRunner]

_BUILT_IN: dict[str, tuple[frozenset[Kind], Build]] = {
    "momentum": (momentum.READS, momentum.build),
    "crossover": (crossover.READS, crossover.build),
}


def names() -> tuple[str, ...]:
    """Returns the names of the built-in strategies."""
    return tuple(sorted(_BUILT_IN))


def build(settings: Settings, streams: Sequence[Stream]) -> StrategyRunner:
    """Returns the strategy that the settings name, bound to the streams; in llm mode the placeholder.

    Raises Misconfigured for an unknown name, or for a stream of a kind that the strategy cannot read.
    """
    if settings.trading.mode == "llm":
        return none.build(settings, streams)
    name = settings.strategy.name
    if ":" in name:
        strategy = _load(name)
        _check_kinds(name, frozenset({strategy.reads}), streams)
        return PythonStrategyRunner(strategy, settings, streams)
    if name not in _BUILT_IN:
        hint = did_you_mean(name, names()) or f"use {', '.join(names())}, or file.py:Class"
        msg = f"unknown strategy {name}; {hint}"
        raise Misconfigured(msg)
    reads, build_it = _BUILT_IN[name]
    _check_kinds(name, reads, streams)
    return build_it(settings, streams)


def _check_kinds(name: str, reads: frozenset[Kind], streams: Sequence[Stream]) -> None:
    for stream in streams:
        if stream.kind not in reads:
            wanted = " or ".join(sorted(reads))
            msg = f"strategy {name} reads {wanted}, but the tape of {stream.symbol} holds {stream.kind}"
            raise Misconfigured(msg)


def source_of(name: str) -> Path | None:
    """Returns the file of a user's strategy; None for a built-in one."""
    if ":" not in name:
        return None
    file = sys.modules[_load(name).__module__].__file__
    return Path(file) if file else None


def _load(name: str) -> type[Strategy]:
    place, _, class_name = name.rpartition(":")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_name(place)
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        msg = f"strategy {name}: {place} has no class {class_name} that extends autohedge.strategies.Strategy"
        raise Misconfigured(msg)
    return found


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        msg = f"strategy {path}: no such file; check the name"
        raise Misconfigured(msg)
    module_name = f"autohedge_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        msg = f"strategy {path}: not a Python file; name a .py file"
        raise Misconfigured(msg)
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs, as the import system does: dataclasses look their module up there.
    sys.modules[module_name] = module
    loader = spec.loader
    _execute(str(path), lambda: loader.exec_module(module))
    return module


def _from_name(name: str) -> ModuleType:
    _execute(name, lambda: importlib.import_module(name))
    return sys.modules[name]


def _execute(place: str, run: Callable[[], object]) -> None:
    try:
        run()
    except Exception as error:  # a user's module may raise anything while it is imported
        msg = f"strategy {place} cannot be loaded: {type(error).__name__}: {error}"
        raise Misconfigured(msg) from error
