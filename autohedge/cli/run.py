"""Verbs that trade: run, restart, the venue of its own, replay."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import (
    DEGRADED,
    FAILED,
    AsJson,
    ConfigFile,
    Mode,
    Overrides,
    Quiet,
    Run,
    Seed,
    Speed,
    Tapes,
    Trust,
    Verbose,
    echo,
    fail,
    load_inputs,
    no_notify,
    notify,
    parse_speed,
    print_json,
    set_options,
)
from autohedge.core.errors import Misconfigured, Refused
from autohedge.core.text import printable

if TYPE_CHECKING:
    from autohedge.config import Settings
    from autohedge.core.results import RunReport
    from autohedge.graph.replay import DeliberationReplay
    from autohedge.graph.replay_versions import VersionDifferences
    from autohedge.journal import RunFolder
    from autohedge.runtime.observers import ObserverFactory
    from autohedge.runtime.replay import Difference

Venue = Annotated[
    str | None,
    typer.Option("--venue", help="Port of a simulated venue (`autohedge venue`); the venue sets the speed."),
]
Patience = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds to wait for a disconnected --venue; default 60."),
]
FAULTS = (
    "Faults of the connection: all, or names separated by commas: drop, lost, delay, throttle, ban, error, "
    "error_after, disconnect, drop_push, duplicate_push, reorder_push."
)


@app.command()
def run(
    config: ConfigFile = None,
    tape: Tapes = None,
    mode: Mode = None,
    overrides: Overrides = None,
    seed: Seed = None,
    speed: Speed = None,
    venue: Venue = None,
    patience: Patience = None,
    live: Annotated[
        bool, typer.Option("--live", help="Trade real money; needs trading.live = true too.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Backtest a tape, or trade it on a clock with --speed.

    Without --tape the market is synthetic. A live store that is still open is traded as its rows come, until it is
    closed. Every input and output is recorded in ./runs.
    """
    tape_speed = parse_speed(speed) if speed is not None else None
    if speed is not None and venue is not None:
        raise Misconfigured("--speed and --venue exclude each other: the venue sets the speed")
    if patience is not None and venue is None:
        raise Misconfigured("--patience is for a --venue in another process")
    settings, market = load_inputs(
        config, tape, mode, overrides, seed, verbose=verbose, quiet=quiet, growing=True
    )
    _require_no_money(settings, live=live)
    if market.growing and (speed is not None or venue is not None):
        given = "--venue" if venue is not None else "--speed"
        raise Misconfigured(f"{given}: this store still grows, and its rows set the pace; omit {given}")
    on_clock = speed is not None or venue is not None or market.growing is not None
    observers = _observers(settings, on_clock=on_clock, quiet=quiet)
    if not on_clock:
        from autohedge import app as application

        report = application.run(settings, market, observers, no_notify if quiet else notify)
    else:
        from autohedge.app import wall_run
        from autohedge.exchanges.loopback.client import port_of
        from autohedge.gateway.gateway import PATIENCE_S

        patience_s = PATIENCE_S if patience is None else patience
        driven = wall_run.LaunchOptions(
            tape_speed,
            port_of(venue) if venue else None,
            patience_s=patience_s,
            config=wall_run.settings_file(config),
            overrides=set_options(mode, overrides, seed, verbose=verbose, quiet=quiet),
        )
        report = wall_run.start(settings, market, driven, seeded=seed is not None, observers=observers)
    from autohedge.journal import RunFolder

    _print_results(RunFolder.find(report.run), report, settings, as_json=as_json, quiet=quiet)


@app.command()
def restart(run: Run, trust: Trust = False, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Continue a run whose process died.

    The engine is rebuilt from the record, queries the venue for the state of its orders, and trades on. The
    prompts are those in force when the process died; a prompt edited since then counts once it is edited
    again. A finished run goes on while it has open orders at a --venue, and ends when they are settled.
    """
    from autohedge.app import restart as application
    from autohedge.app import wall_run
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    settings = wall_run.settings_of(folder)
    observers = _observers(settings, on_clock=bool(folder.read_launch()), quiet=quiet)
    report = application.restart(folder, observers, no_notify if quiet else notify, trust=trust)
    _print_results(folder, report, settings, as_json=as_json, quiet=quiet)


@app.command()
def venue(
    tape: Tapes = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 7001,
    speed: Speed = "real",
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = None,
    faults: Annotated[str | None, typer.Option(help=FAULTS)] = None,
    fault_seed: Annotated[int, typer.Option(help="Seed of the faults.")] = 0,
) -> None:
    """Run the simulated venue as a process of its own.

    The run and its venue play the same tape on one clock, and each survives the death of the other.
    """
    from autohedge.app import venue_server
    from autohedge.exchanges.loopback.faults import WIRE_FAULTS, SeededFaults, parse

    wanted = parse(faults) if faults is not None else ()
    tape_speed = parse_speed(speed or "real")
    if tape_speed is None:
        raise Misconfigured("--speed max: two processes need a clock; write real or a number such as 50")
    settings, market = load_inputs(config, tape, None, overrides, seed)
    announce = partial(_announce_port, symbols=", ".join(market.symbols), faults=", ".join(wanted))
    script = SeededFaults((WIRE_FAULTS[name] for name in wanted), fault_seed)
    venue_server.serve_venue(settings, market, port=port, speed=tape_speed, ready=announce, faults=script)


def _announce_port(port: int, symbols: str, faults: str) -> None:
    broken = f"; faults: {faults}" if faults else ""
    echo(f"simulated venue for {symbols}, no real money: listening on 127.0.0.1:{port}{broken}")


def _require_no_money(settings: "Settings", *, live: bool) -> None:
    """Refuse real money: it needs two switches and a real venue, and there is none yet."""
    if not live and not settings.trading.live:
        return
    if live and settings.trading.live:
        raise Refused("there is no real venue yet; remove --live and trading.live = true")
    given, missing = ("--live", "trading.live = true") if live else ("trading.live = true", "--live")
    needs = "real money needs both, and a real venue; a backtest or paper trading needs neither"
    raise Refused(f"{given} without {missing}: {needs}")


def _observers(settings: "Settings", *, on_clock: bool, quiet: bool) -> "list[ObserverFactory]":
    from autohedge.console.event_log import event_log_factory

    return [event_log_factory(settings, on_clock=on_clock, quiet=quiet)]


def _print_results(
    folder: "RunFolder", report: "RunReport", settings: "Settings", *, as_json: bool, quiet: bool
) -> None:
    """Prints the results of a run.

    Ends with DEGRADED if orders are left open or most answers are missing, with FAILED for an interrupted run.
    """
    if as_json:
        print_json(report)
    elif not quiet:
        from autohedge.console.summary import print_summary

        print_summary(report, folder.argument)
    from autohedge.app.open_orders import unsettled_text

    if unsettled := unsettled_text(folder, report):
        fail(unsettled, DEGRADED)
    if report.interrupted:
        fail(f"run {report.run} was interrupted; its results are written", FAILED)
    from autohedge.core.abstentions import degradation

    degraded = degradation(report.deliberations)
    if degraded and not settings.llm.tolerate_failures:
        fail(degraded if as_json or quiet else "", DEGRADED)  # the summary begins with it


@app.command()
def replay(
    run: Run,
    engine_only: Annotated[
        bool, typer.Option("--engine-only", help="Replay the engine only, without the agents' packages.")
    ] = False,
    trust: Trust = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Reproduce a run from its record and report the first difference.

    Feeds the recorded inputs to a new engine and the recorded answers to the agents. Needs no model, server
    or key.
    """
    from autohedge import app as application
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    difference, finished = application.replay_engine(folder, trust=trust)
    reread = None if engine_only else application.replay_deliberations(folder)
    same = not (difference or (reread and reread.difference))
    if as_json:
        print_json(application.replay_as_dict(folder, difference, reread))
    elif not (quiet and same):
        _print_replay(folder.id, difference, reread, _replay_notes(folder, finished=finished))
    if not same:
        raise typer.Exit(FAILED)


def _print_replay(
    run: str, difference: "Difference | None", reread: "DeliberationReplay | None", notes: str
) -> None:
    parts = [f"differs at {difference}" if difference else "every output reproduced"]
    parts += [_deliberation_replay_text(reread)] if reread else []
    if difference or (reread and reread.difference):
        fail(f"replay of {run}: {'; '.join(parts)}{notes}", FAILED)
    echo(f"{run}: {'; '.join(parts)}{notes}")


def _replay_notes(folder: "RunFolder", *, finished: bool) -> str:
    """What a reader of the result must know about the record, in parentheses."""
    from autohedge.journal import read
    from autohedge.journal.genesis import Genesis

    genesis = Genesis.of(next(read(folder.journal)))
    older = f"texts of halts, cancels and alerts are those of version {genesis.autohedge}: not compared"
    notes = [] if finished else ["unfinished: as far as the record goes"]
    notes += [] if genesis.has_todays_texts else [older]
    return f" ({'; '.join(notes)})" if notes else ""


def _deliberation_replay_text(reread: "DeliberationReplay") -> str:
    versions = f"; {_versions_text(reread.versions)}" if reread.versions else ""
    if reread.difference:
        return f"differs at {reread.difference}{versions}"
    exactly = "" if reread.versions and reread.versions.differences else " to the byte"
    summary = f"{reread.reread} deliberations reread, {reread.requests} requests rendered again{exactly}"
    others = {"never came to the agents": reread.taken_over, "unanswered": reread.unanswered}
    others |= {"in the transcript alone": reread.ahead, "missing from the transcript": reread.lost}
    return ", ".join([summary, *(f"{count} {what}" for what, count in others.items() if count)]) + versions


def _versions_text(versions: "VersionDifferences") -> str:
    """Which version rendered the requests, what was changed since, and the differences that this explains."""
    changed = " and ".join(f"the {part}" for part in versions.changed)
    since = f"since then {changed} changed" if changed else "no change of schema, parser or prompts is known"
    differences = "; ".join(
        f"{found.deliberations} differ in {part}, the first is {found.first}"
        for part, found in versions.differences.items()
    )
    explained = f"{since}: {differences}" if differences else since
    return printable(f"version {versions.recorded_by} rendered them; {explained}")
