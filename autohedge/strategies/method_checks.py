"""Checks that a strategy's class has a method for each kind of rows that it reads."""

import difflib
import inspect
from collections.abc import Collection

from autohedge.core.errors import Misconfigured
from autohedge.market.stream import KINDS, Kind
from autohedge.strategies.python import Strategy
from autohedge.strategies.row_dispatch import METHODS
from autohedge.strategies.user_code import described


def kinds_read(make: type[Strategy]) -> frozenset[Kind]:
    """Returns the kinds of rows that a strategy reads. Raises Misconfigured if `reads` names none."""
    reads = make.reads
    kinds = (reads,) if isinstance(reads, Kind) else reads
    if not isinstance(kinds, Collection) or not kinds or not all(isinstance(each, Kind) for each in kinds):
        raise Misconfigured(
            f"strategy {make.__name__}: reads must be a Kind such as Kind.QUOTES, or a set of them, not "
            f"{described(reads)}"
        )
    return frozenset(kinds)


def check_methods(make: type[Strategy]) -> None:
    """Checks that a class has the method for each kind of rows that it reads.

    Raises Misconfigured, and names a method that looks like it.
    """
    kinds = kinds_read(make)
    for kind in KINDS:
        if kind in kinds:
            _check_method(make, kind, kinds)


def _check_method(make: type[Strategy], kind: Kind, kinds: frozenset[Kind]) -> None:
    name, wanted = make.__name__, METHODS[kind]
    is_defined = _defines(make, wanted)
    if wanted not in vars(make) and (misspelt := _look_alike(make, wanted)):
        raise Misconfigured(f"strategy {name}: {misspelt} is never called; rename it to {wanted}")
    if not is_defined:
        _refuse_other_method(make, kinds)
        raise Misconfigured(f"strategy {name} defines no {wanted}; add the method")
    if inspect.iscoroutinefunction(getattr(make, wanted)):
        raise Misconfigured(f"strategy {name}: {wanted} is async; write it without async")


def _refuse_other_method(make: type[Strategy], kinds: frozenset[Kind]) -> None:
    """Raises Misconfigured if the class has a method for a kind that it does not read, perhaps misspelt."""
    name, held = make.__name__, " and ".join(each for each in KINDS if each in kinds)
    for kind in sorted(METHODS.keys() - kinds, key=lambda each: list(METHODS).index(each)):
        other, cure = METHODS[kind], f"write reads = Kind.{kind.name} in the class"
        if _defines(make, other):
            raise Misconfigured(f"strategy {name} defines {other}, but it reads {held}; {cure}")
        if misspelt := _look_alike(make, other):
            raise Misconfigured(
                f"strategy {name}: {misspelt} is never called; rename it to {other} and {cure}"
            )


def _defines(make: type[Strategy], method: str) -> bool:
    return getattr(make, method) is not getattr(Strategy, method)


def _look_alike(make: type[Strategy], method: str) -> str | None:
    """Returns what is probably `method`, misspelt; None if the class has nothing like it."""
    # A class that inherits the method may have others of similar names from its own bases.
    there = vars(make) if _defines(make, method) else dir(make)
    plain = {
        name.replace("_", "").lower(): name
        for name in there
        if name not in METHODS.values() and callable(getattr(make, name, None))
    }
    on = [name for name in plain if set(name[:2]) == {"o", "n"}]
    close = difflib.get_close_matches(method.replace("_", ""), on, n=1, cutoff=0.8)
    return plain[close[0]] if close else None
