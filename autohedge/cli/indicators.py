"""`indicators`: technical indicators over the bars of a tape."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import AsJson, echo, notify, print_json
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.config.sections import BarsSettings

BarTapes = Annotated[
    list[str] | None,
    typer.Option(
        "--tape", help="FILE or SYMBOL=FILE of bars, or with --every of other rows; or a live store."
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="INDICATOR", help='As "rsi(period=14)", "macd"; repeatable.'),
]
Every = Annotated[
    str | None,
    typer.Option("--every", help="Bars of this length, such as 15m; default: the shortest of the tape."),
]
Session = Annotated[
    str | None, typer.Option("--session", help='Hours of made bars, as "09:30-16:00 America/New_York".')
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the values to a Parquet file.")
]
Listed = Annotated[bool, typer.Option("--list", help="List the indicators and their parameters.")]


@app.command("indicators")
def compute_indicators(
    tape: BarTapes = None,
    name: Names = None,
    every: Every = None,
    session: Session = None,
    out: Out = None,
    listed: Listed = False,
    as_json: AsJson = False,
) -> None:
    """Compute technical indicators over bars."""
    if listed:
        _print_list(as_json=as_json)
        return
    if not tape or not name:
        raise Misconfigured('indicators need --tape FILE and --name "rsi(period=14)"; --list shows the names')
    from autohedge.market.bar_input import open_bars
    from autohedge.market.parquet_file import require_new
    from autohedge.market.sources import parse_source
    from autohedge.strategies.indicator_results import indicator_results, write_results
    from autohedge.strategies.indicators import parse_indicator

    specs = [parse_indicator(text) for text in name]
    if out is not None:
        require_new(out)
    stream, _ = open_bars([parse_source(text) for text in tape], bar_settings(every, session))
    found = indicator_results(stream, specs)
    for note in found.notes:
        notify(f"{stream.symbol}: {note}")
    if out is not None:
        write_results(found, out)
    if as_json:
        print_json(found.as_dict())
        return
    from autohedge.console.indicators import print_results

    print_results(found, stream.symbol)
    if out is not None:
        echo(f"{out}: {len(found.end_ns):,} bars written")


def bar_settings(every: str | None, session: str | None) -> "BarsSettings":
    """The settings of the bars that options describe. Raises Misconfigured if they are not understood."""
    from autohedge.config.sections import BarsSettings
    from autohedge.market.derived import require_bars

    if session is not None and every is None:
        raise Misconfigured(
            "--session says how bars are made, but not of which length; add --every, such as 15m"
        )
    bars = BarsSettings(every=every or "", session=session or "")
    require_bars(bars)
    return bars


def _print_list(*, as_json: bool) -> None:
    if as_json:
        from autohedge.strategies.indicator_reference import as_dicts

        print_json({"indicators": as_dicts()})
        return
    from autohedge.console.indicators import print_indicator_list

    print_indicator_list()
