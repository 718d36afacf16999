"""Charts as inline SVG: the price with entries and exits, and states over time as a strip of colours.

Both span the same time and the full width. What must not be stretched with the width, markers, stands at a
percentage of it in pixels of its own.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from autohedge.audit.html import escaped
from autohedge.audit.timeline import spans

WIDTH, HEIGHT = 720, 14
PRICE_HEIGHT = 160
SCALE = 1000
MARKER_COLUMNS = 400
MARGIN = 0.06
# Triangles beside the price that they mark: an entry points up from below, an exit down from above.
_SHAPES = {"entry": "M0 3l5 9h-10z", "exit": "M0-3l5-9h-10z"}


class Marker(NamedTuple):
    """An entry or an exit; `kind` is `entry`, `exit`, `exit gain` or `exit loss`."""

    at_ns: int
    price: float
    kind: str
    label: str


class Axes(NamedTuple):
    """The ranges of time and price that a chart shows."""

    first_ns: int
    last_ns: int
    low: float
    high: float

    @classmethod
    def around(cls, prices: Sequence[float], first_ns: int, last_ns: int) -> "Axes":
        """Axes that hold all prices, with a margin for the markers."""
        low, high = min(prices, default=0.0), max(prices, default=1.0)
        margin = (high - low) * MARGIN or abs(high) * 0.001 or 1.0
        return cls(first_ns, max(last_ns, first_ns + 1), low - margin, high + margin)

    def x(self, at_ns: int) -> float:
        """The time from 0, left, to 1, right."""
        return min(max((at_ns - self.first_ns) / (self.last_ns - self.first_ns), 0.0), 1.0)

    def y(self, price: float) -> float:
        """The price from 0, top, to 1, bottom."""
        return (self.high - price) / (self.high - self.low)


def price_chart(
    name: str,
    axes: Axes,
    points: Sequence[tuple[int, float]],
    markers: Sequence[Marker],
    title: str,
    text: str,
) -> str:
    """Returns the price as a line with its markers; `name` makes the ids unique in the page."""
    labels = f'<title id="{name}-title">{escaped(title)}</title><desc id="{name}-desc">{escaped(text)}</desc>'
    head = f'role="img" aria-labelledby="{name}-title {name}-desc" width="100%" height="{PRICE_HEIGHT}"'
    box = f'viewBox="0 0 {SCALE} {SCALE}" preserveAspectRatio="none"'
    plot = f'<svg {box} width="100%" height="{PRICE_HEIGHT}">{_grid()}{_line(axes, points)}</svg>'
    return f'<svg class="price" {head}>{labels}{plot}{"".join(_markers(axes, markers))}</svg>'


def _grid() -> str:
    heights = (0, SCALE // 2, SCALE)
    return f'<path class="grid" d="{"".join(f"M0 {height}H{SCALE}" for height in heights)}"/>'


def _line(axes: Axes, points: Sequence[tuple[int, float]]) -> str:
    path = "L".join(f"{SCALE * axes.x(at_ns):.1f} {SCALE * axes.y(price):.1f}" for at_ns, price in points)
    return f'<path class="line" d="M{path}"/>' if path else ""


def _markers(axes: Axes, markers: Iterable[Marker]) -> Iterable[str]:
    """Yields one marker per kind and column; several in one place become one, with their number."""
    columns: dict[tuple[int, str], list[Marker]] = {}
    for marker in markers:
        columns.setdefault((round(MARKER_COLUMNS * axes.x(marker.at_ns)), marker.kind), []).append(marker)
    for (column, kind), same in columns.items():
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        shape = f'<path class="{kind}" d="{_SHAPES[kind.split()[0]]}"/>'
        at = f'x="{100 * column / MARKER_COLUMNS:g}%" y="{PRICE_HEIGHT * axes.y(same[0].price):.1f}"'
        title = f"<title>{escaped(same[0].label + more)}</title>"
        yield f'<svg class="marker" {at}>{title}{shape}</svg>'


def strip(changes: Iterable[tuple[int, str]], first: str, first_ns: int, last_ns: int, label: str) -> str:
    """Returns the states from `first_ns` to `last_ns` as a strip; `first` is the state before the changes.

    A column shows the state that it had longest, so the size does not grow with the changes.
    """
    columns = _columns(changes, first, first_ns, max(last_ns, first_ns + 1))
    parts, at = [], 0
    for state, run in groupby(columns):
        wide = len(list(run))
        parts.append(f'<rect class="{state}" x="{at}" y="0" width="{wide}" height="{HEIGHT}"/>')
        at += wide
    head = f'role="img" aria-label="{escaped(label)}" preserveAspectRatio="none"'
    return f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" {head}>{"".join(parts)}</svg>'


def _columns(changes: Iterable[tuple[int, str]], first: str, first_ns: int, last_ns: int) -> list[str]:
    columns: list[dict[str, float]] = [{} for _ in range(WIDTH)]
    for begin_ns, end_ns, state in spans(changes, first, first_ns, last_ns):
        begin, end = (WIDTH * (ns - first_ns) / (last_ns - first_ns) for ns in (begin_ns, end_ns))
        for column in range(int(begin), min(int(end) + 1, WIDTH)):
            share = min(end, column + 1) - max(begin, column)
            columns[column][state] = columns[column].get(state, 0.0) + share
    return [max(each, key=each.__getitem__) if each else first for each in columns]
