"""`features`: the features of a tape's bars, as a table to train a model on."""

from typing import Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.indicators import Every, Out, Session, bar_settings
from autohedge.cli.options import AsJson, echo, notify, print_json


@app.command("features")
def show_features(
    tape: Annotated[
        list[str],
        typer.Option("--tape", help="FILE or SYMBOL=FILE of one symbol; repeatable. Or a live store."),
    ],
    every: Every = None,
    session: Session = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="As rsi14 or imbalance(3); repeatable. Default: the 30 defaults."),
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compute the features of a tape's bars."""
    from autohedge.market import parse_source
    from autohedge.market.bar_input import open_bars
    from autohedge.market.bar_series import left_out_text
    from autohedge.market.parquet_file import require_new
    from autohedge.strategies.features import ALL_DEFAULT, compute_features, parse_features

    names = feature or [ALL_DEFAULT]
    parse_features(names)
    if out is not None:
        require_new(out)
    bars, streams = open_bars([parse_source(text) for text in tape], bar_settings(every, session))
    table = compute_features(names, bars, streams)
    if note := left_out_text(len(bars) - len(table.end_ns)):
        notify(f"{bars.symbol}: {note}")
    if out is not None:
        table.write(out)
    if as_json:
        print_json(table.as_dict())
        return
    if out is not None:
        echo(f"{out}: {len(table.end_ns):,} bars written")
        return
    from autohedge.console.feature_table import print_features

    print_features(table, bars.symbol)
