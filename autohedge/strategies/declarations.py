"""The names of indicators and features that a strategy declares."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autohedge.core.errors import Misconfigured
from autohedge.market.stream import Kind, Stream

if TYPE_CHECKING:
    from autohedge.strategies.python import Strategy

_EXAMPLES = {"indicators": '["rsi(period=14)"]', "features": '["default", "rsi(period=21)"]'}


def declared_names(strategy: "Strategy", field: str) -> tuple[str, ...]:
    """Returns the names in `indicators` or `features` of a strategy.

    Raises Misconfigured unless they are a list or a tuple of names.
    """
    names = getattr(strategy, field)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise Misconfigured(f"{field} must be a list of names, as in {_EXAMPLES[field]}")
    return tuple(names)


def require_bars_for_declared(strategy: "Strategy", streams: Sequence[Stream]) -> None:
    """Raises Misconfigured if a strategy declares indicators or features, but reads no bars.

    `streams` are those of the tape.
    """
    if any(stream.kind is Kind.BARS and stream.origin.read for stream in streams):
        return
    with strategy_named_in_errors(strategy):
        for field in _EXAMPLES:
            if declared_names(strategy, field):
                raise Misconfigured(
                    f"its {field} are of bars, but it reads none; add Kind.BARS to reads, or remove {field}"
                )


@contextmanager
def strategy_named_in_errors(strategy: "Strategy") -> Iterator[None]:
    """Puts the strategy's name before the message of Misconfigured."""
    try:
        yield
    except Misconfigured as error:
        raise Misconfigured(f"strategy {type(strategy).__name__}: {error}") from None
