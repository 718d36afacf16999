"""`data bars`: makes bars of a tape, prints them and writes them to a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import data_app
from autohedge.cli.options import AsJson, echo, print_json
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.market.stream import Kind


@data_app.command("bars")
def make_bars(
    tape: Annotated[
        list[str], typer.Option("--tape", help="FILE or SYMBOL=FILE of trades, quotes or bars; repeatable.")
    ],
    every: Annotated[
        str, typer.Option("--every", help='1s, 5m, 4h, 1d, 1w, 1M, "500 ticks", "25 volume", "2e6 dollars".')
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="KIND", help="trades, quotes or bars; default: the finest on the tape."
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", help='Hours, as "09:30-16:00 America/New_York".')
    ] = None,
    fill: Annotated[
        str, typer.Option("--fill", help="Empty intervals: none, or carry the last close.")
    ] = "none",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the finished bars to Parquet.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make bars of trades, quotes or shorter bars."""
    from autohedge.market.bar_aggregator import as_dicts, bars_of
    from autohedge.market.bar_file import require_writable, write_bars
    from autohedge.market.bar_input import open_bar_input
    from autohedge.market.bar_spec import BarSpec
    from autohedge.market.sources import parse_source

    spec, wanted = BarSpec.of(every, session, fill), _kind(source)
    if out is not None:
        require_writable(out, spec)
    stream = open_bar_input([parse_source(text) for text in tape], wanted)
    made = bars_of(stream, spec)
    if out is not None:
        write_bars(made, spec, out)
    if as_json:
        forming = as_dicts(made.forming)
        print_json(
            {
                "from": str(stream.kind),
                "every": spec.every,
                "bars": as_dicts(made.finished),
                "forming": forming[0] if forming else None,
                "skipped": sum(made.skipped.values()),
            }
        )
        return
    from autohedge.console.bar_table import print_bars

    print_bars(made, spec.every, str(stream.kind))
    if out is not None:
        echo(f"{out}: {len(made.finished):,} bars written")


def _kind(name: str | None) -> "Kind | None":
    from autohedge.market.bar_aggregator import FINEST_FIRST

    kind = next((each for each in FINEST_FIRST if each == name), None)
    if name is not None and kind is None:
        raise Misconfigured(f"--from {name}: write trades, quotes or bars")
    return kind
