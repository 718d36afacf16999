"""Commands of a person to a running run."""

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import AsJson, Run, echo, print_json

if TYPE_CHECKING:
    from autohedge.runtime.control import ControlCommand, Request

Reason = Annotated[str, typer.Option("--reason", help="The reason, for the journal.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who sends the command; default: your user name.")]
RequestId = Annotated[
    str | None,
    typer.Option("--request-id", help="An id; a command sent again with it is done once. Default: a new id."),
]


@app.command()
def halt(
    run: Run,
    reason: Reason = "operator",
    actor: Actor = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Halt the entries of a running run; exits continue.

    Resting entries are cancelled, and gates close.
    """
    _send(run, _request("halt", reason, actor, request_id), as_json=as_json)


@app.command()
def resume(
    run: Run,
    halt_id: Annotated[
        str | None, typer.Option("--halt-id", help="The id of an automatic halt, which `status` shows.")
    ] = None,
    reason: Reason = "operator",
    actor: Actor = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Allow entries again after a halt or a pause."""
    _send(run, _request("resume", reason, actor, request_id, halt_id), as_json=as_json)


@app.command()
def flatten(
    run: Run,
    reason: Reason = "operator",
    actor: Actor = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Halt entries and close every position of a running run."""
    _send(run, _request("flatten", reason, actor, request_id), as_json=as_json)


@app.command()
def pause(
    run: Run,
    reason: Reason = "operator",
    actor: Actor = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Send no entries and ask no agents until resume; exits continue.

    Resting entries stay at the venue and may fill.
    """
    _send(run, _request("pause", reason, actor, request_id), as_json=as_json)


@app.command("cancel-all")
def cancel_all(
    run: Run,
    reason: Reason = "operator",
    actor: Actor = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Cancel every resting order of a running run.

    Entries stay on: pause or halt first, where none may follow.
    """
    _send(run, _request("cancel_all", reason, actor, request_id), as_json=as_json)


@app.command()
def sync(
    run: Run,
    reason: Reason = "operator",
    actor: Actor = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Reconcile a running run with its venue now.

    Compares orders, fills, positions and cash; what differs is in the event log and the journal.
    """
    _send(run, _request("sync", reason, actor, request_id), as_json=as_json)


@app.command()
def reload(
    run: Run,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file; default: the one that the run was started with."),
    ] = None,
    reason: Reason = "operator",
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Apply a changed settings file to a running run.

    Options and variables of the run's start still count more than the file. What is not valid changes nothing.
    """
    from autohedge.runtime.control import Request

    path = str(config.absolute()) if config else ""
    _send(run, Request("reload", reason, actor=actor or _user(), config=path), as_json=as_json)


@app.command()
def status(run: Run, as_json: AsJson = False) -> None:
    """Show the equity, positions and halts of a running run."""
    from autohedge.runtime.control import Request

    _send(run, Request("status"), as_json=as_json)


def _request(
    command: "ControlCommand",
    reason: str,
    actor: str | None,
    request_id: str | None,
    halt_id: str | None = None,
) -> "Request":
    from autohedge.core.ids import fresh_nonce
    from autohedge.runtime.control import Request

    return Request(command, reason, halt_id, actor or _user(), request_id or fresh_nonce())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for its user
        return f"uid {os.getuid()}"


def _send(run: str, request: "Request", *, as_json: bool) -> None:
    from autohedge.journal import RunFolder
    from autohedge.runtime.control import is_listening, send_command

    folder = RunFolder.find(run, lambda each: is_listening(each.path))
    reply = send_command(folder.path, request)
    if as_json:
        import msgspec

        print_json({"run": folder.id, "says": reply.message} | msgspec.to_builtins(reply.status))
        return
    from autohedge.console.formatting import amount_text, quantity_text

    positions = reply.status.open_positions.items()
    held = ", ".join(f"{quantity_text(quantity)} {symbol}" for symbol, quantity in positions)
    equity = amount_text(reply.status.equity)
    figures = reply.status.deliberations
    spend = f"; LLM cost {figures.llm.cost_text}" if figures and figures.llm and figures.llm.cost_text else ""
    echo(f"{folder.id}: {reply.message}; equity {equity}, open: {held or 'none'}{spend}")
