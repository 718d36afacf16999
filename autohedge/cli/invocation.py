"""Runs a command and ends the process with its exit code. Commands import what they need when they run.

Exit codes: 0 ok, 1 failed (damage, difference), 2 usage or input, 3 refused by safety, 4 finished but degraded.
"""

import sys

import typer

from autohedge.cli import (
    agents_probe,
    agents_score,
    ask,
    audit,
    bars,
    books,
    faultsim,
    features,
    indicators,
    inspect,
    operate,
    prompt_cost,
    prompts,
    run,
    whatif,
)
from autohedge.cli.commands import app
from autohedge.cli.options import FAILED, REFUSED, USAGE, fail
from autohedge.cli.streams import flush_stdout
from autohedge.core.errors import AutoHedgeError, Misconfigured, Refused
from autohedge.core.open_files import open_files_reached, raise_open_files

INTERRUPTED = 130
# typer carries its own click, and of its usage errors exports this one subclass
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
VERBS = (
    run,
    operate,
    inspect,
    bars,
    books,
    indicators,
    features,
    ask,
    agents_probe,
    agents_score,
    audit,
    whatif,
    prompts,
    prompt_cost,
    faultsim,
)


def _text(error: Exception) -> str:
    """An error in one line; typer's usage errors format theirs."""
    formatted = getattr(error, "format_message", None)
    return str(formatted() if formatted else error)


def invoke() -> None:
    """Run the command line. Every error is one line on stderr and an exit code."""
    raise_open_files()
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()  # here, where a failure becomes one line
    except (UsageError, Misconfigured) as error:
        fail(_text(error), USAGE)
    except Refused as error:
        fail(str(error), REFUSED)
    except AutoHedgeError as error:
        fail(str(error), FAILED)
    except (typer.Abort, KeyboardInterrupt):
        # What was half made at the interrupt may fail once more when it is freed, which means nothing to a user.
        sys.unraisablehook = lambda _: None
        code = INTERRUPTED
    except ArithmeticError as error:
        fail(
            f"an amount cannot be computed exactly ({type(error).__name__}): check the prices of the tape",
            FAILED,
        )
    except BrokenPipeError:
        flush_stdout()
        sys.exit(FAILED)
    except OSError as error:
        flush_stdout()
        reached = open_files_reached(error)
        fail(reached or f"{error.filename or 'the operating system'}: {error.strerror}", FAILED)
    if code == INTERRUPTED:
        # CPython kills `python -m` by the signal if the interrupt passed a string of code; running one resets that.
        exec("")  # noqa: S102
        fail(
            "interrupted; verify or replay what was recorded, or continue: autohedge restart RUN",
            FAILED,
        )
    sys.exit(code or 0)
