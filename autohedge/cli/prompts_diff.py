"""The verb that holds a run's prompts against those of today."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from autohedge.cli.options import FAILED, AsJson, Run, print_json
from autohedge.cli.tree import prompts_app

if TYPE_CHECKING:
    from autohedge.audit.comparing import Compared


@prompts_app.command("diff")
def diff_prompts(run: Run, as_json: AsJson = False) -> None:
    """What a run asked with, the prompts of its end first, against ./prompts and the package of today.

    Exits with 1 where any of them differs, with 0 where all are the same to the byte.
    """
    from autohedge.audit.comparing import compared
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    found = compared(folder)
    same = all(each.same for each in found)
    if as_json:
        prompts = [asdict(each) | {"same": each.same} for each in found]
        print_json({"run": folder.id, "same": same, "prompts": prompts})
    elif not found:
        typer.echo(f"{folder.id}: it asked nobody, so it used no prompts")
    else:
        _print(found)
    if not same:
        raise typer.Exit(FAILED)


def _print(found: "list[Compared]") -> None:
    from autohedge.audit.wording import harmless

    for each in found:
        for line in (_in_short(each), *each.diff):
            typer.echo(harmless(line))


def _in_short(each: "Compared") -> str:
    used = each.used
    until = "" if each.last else ", changed later"
    now = f"the same as {each.origin}"
    if not each.same:
        now = f"{each.origin} has hash {each.hash}" if each.origin else "no agent of this release reads it"
    return f"{used.name}: hash {used.hash}, from question {used.since} on{until}; {now}"
