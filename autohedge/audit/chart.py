"""A gate over a run as one small picture: a strip of colours, as many columns as can be seen."""

from collections.abc import Iterable, Iterator
from itertools import groupby

WIDTH, HEIGHT = 720, 18


def strip(changes: Iterable[tuple[int, str]], first: str, first_ns: int, last_ns: int) -> str:
    """The gate from `first_ns` to `last_ns` as inline SVG; `first` is its state before the changes.

    A column shows the state that it had longest in there, so the size does not grow with the changes.
    """
    columns = _columns(changes, first, first_ns, max(last_ns, first_ns + 1))
    parts, at = [], 0
    for state, run in groupby(columns):
        wide = len(list(run))
        parts.append(f'<rect class="{state}" x="{at}" y="0" width="{wide}" height="{HEIGHT}"/>')
        at += wide
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" preserveAspectRatio="none">{"".join(parts)}</svg>'


def _columns(changes: Iterable[tuple[int, str]], first: str, first_ns: int, last_ns: int) -> list[str]:
    shares: list[dict[str, float]] = [{} for _ in range(WIDTH)]
    for begin_ns, end_ns, state in _spans(changes, first, first_ns, last_ns):
        begin, end = (WIDTH * (ns - first_ns) / (last_ns - first_ns) for ns in (begin_ns, end_ns))
        for column in range(int(begin), min(int(end) + 1, WIDTH)):
            share = min(end, column + 1) - max(begin, column)
            shares[column][state] = shares[column].get(state, 0.0) + share
    return [max(share, key=share.__getitem__) if share else first for share in shares]


def _spans(
    changes: Iterable[tuple[int, str]], first: str, first_ns: int, last_ns: int
) -> Iterator[tuple[int, int, str]]:
    """Each state with its begin and end."""
    state, since_ns = first, first_ns
    for at_ns, following in changes:
        if at_ns > since_ns:
            yield since_ns, min(at_ns, last_ns), state
        state, since_ns = following, max(at_ns, since_ns)
    yield since_ns, last_ns, state
