"""Runs the benchmarks and prints a table. Absolute figures depend on the machine; ratios are comparable."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence

from benchmarks import (
    bars,
    books,
    day,
    deciding,
    deliberation,
    engine,
    hot,
    in_memory,
    indicators,
    kernel,
    orders,
    process,
    streams,
    team,
    transcript,
    waking,
    wall,
)
from benchmarks.market import QUOTES
from benchmarks.row import Row

Measure = Callable[[int], list[Row]]

ROWS: dict[str, Measure] = {
    "kernel": kernel.measure,
    "bars": bars.measure,
    "books": books.measure,
    "indicators": indicators.measure,
    "engine": engine.measure,
    "streams": streams.measure,
    "in memory": in_memory.measure,
    "process": process.measure,
    "live": hot.live,
    "checks": hot.checks,
    "journal": hot.journal,
    "start": wall.start,
    "waking": waking.measure,
    "histories": orders.histories,
    "reconciling": orders.reconciling,
    "deliberation": deliberation.deliberations,
    "bypass": deliberation.bypasses,
    "model call": deliberation.calls,
}
LONG_ROWS: dict[str, Measure] = {
    "memory": process.memory,
    "streams memory": streams.memory,
    "wall": wall.measure,
    "deciding": deciding.measure,
    "team": team.measure,
    "transcript": transcript.measure,
    "day": day.measure,
}


def main() -> None:
    """Measures the requested rows; exits with 1 if `--check` is given and a bound is missed."""
    wanted = _options()
    every = ROWS | LONG_ROWS
    names = wanted.only or list(every if wanted.all else ROWS)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}; {wanted.quotes:,} quotes", flush=True)
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += every[name](wanted.quotes)
    print(_table(rows))
    if wanted.check and any(row.met is False for row in rows):
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [*ROWS, *LONG_ROWS]
    parser.add_argument("--only", action="append", choices=names, help="measure this row; repeatable")
    parser.add_argument("--all", action="store_true", help=f"measure {', '.join(LONG_ROWS)} too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bound is missed")
    parser.add_argument("--quotes", type=int, default=QUOTES, help="length of the tape")
    return parser.parse_args()


def _table(rows: Sequence[Row]) -> str:
    """Returns the rows in aligned columns, each with its note below."""
    cells = [("what", "bound", "figure (median)", "")]
    cells += [(row.name, row.bound, row.figure, row.verdict) for row in rows]
    widths = [max(len(cell[i]) for cell in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip()
        for cell in cells
    ]
    # From the end, so that inserted notes do not shift the rows that are still to come.
    for number, row in reversed(list(enumerate(rows, start=1))):
        if row.note:
            lines.insert(number + 1, f"    {row.note}")
    return "\n".join(["", *lines])


if __name__ == "__main__":
    main()
