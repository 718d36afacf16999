"""Runs tests, or seeds of the simulation, in the copy of the checkout that is the working directory.

python -m tests.mutation.child MODULE tests|seeds WHAT...

MODULE is the changed one; empty without a mutant. The process writes JSON lines: one `Step` before each test or
seed, so that its parent knows where it died, and one `Result` at its end.
"""

import resource
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import msgspec

import autohedge

STEP_S = 30  # a test takes at most some 3 s, a seed less than one: what takes longer loops for ever
MEMORY_BYTES = 3 << 30  # a loop that logs would otherwise take all memory before its time is over

_ALONE = ["-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-m", "not process and not soak and not model"]


class Step(msgspec.Struct, frozen=True, tag=True):
    """What runs next: the id of a test, or a seed."""

    at: str


class Result(msgspec.Struct, frozen=True, tag=True):
    """How a run ended: `at` and `message` tell the first failure."""

    end: Literal["passed", "failed", "hung", "error"]
    at: str = ""
    message: str = ""


def main() -> None:
    """Runs what the arguments say, and writes the result to the standard output."""
    module, what, *args = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    _begin_step("import")
    if not Path(autohedge.__file__).is_relative_to(Path.cwd()):
        _write(Result("error", message=f"{autohedge.__file__} is not the package of this copy"))
        return
    with redirect_stdout(sys.stderr):
        result = run_tests(args, module) if what == "tests" else run_seeds(args, module)
    _write(result)


def run_tests(args: Sequence[str], module: str = "") -> Result:
    """Runs tests up to the first failure, with the same examples in every run."""
    import pytest

    watch = _Watch()
    code = pytest.main([*_ALONE, *args], plugins=[watch])
    if watch.failure:
        return watch.failure
    if module and module not in sys.modules:
        return Result("error", message=f"no test imports {module}")
    return Result("passed") if code == 0 else Result("error", message=f"pytest ended with {code!r}")


class _Watch:
    """A plugin that writes the steps and keeps the first failure."""

    failure: Result | None = None

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings  # not before: pytest rewrites the plugin of hypothesis

        # Examples that fail are not shrunk and not stored: only whether one fails is of interest.
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutation", deadline=None, database=None, derandomize=True, phases=phases)
        settings.load_profile("mutation")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        _begin_step(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failure:
            self.failure = Result("failed", report.nodeid, _last_line(report))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failure:
            self.failure = Result("failed", report.nodeid, _last_line(report))


def _last_line(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).strip().splitlines()
    return lines[0 if crash else -1] if lines else ""


def run_seeds(seeds: Sequence[str], module: str = "") -> Result:
    """Plays seeds of the simulation, with all faults, up to the first violation."""
    play: Callable[[int], str | None] | None = None
    for seed in seeds:
        try:
            play = play or _player()
            _begin_step(seed)
            violation = play(int(seed))
        except Exception as error:  # noqa: BLE001 - whatever a mutant raises ends the run
            violation = f"{type(error).__name__}: {error}"
        if violation:
            return Result("failed", seed, violation)
        if (
            module and module not in sys.modules
        ):  # as with the gateway: no further seed would import it either
            break
    return Result("passed")


def _player() -> Callable[[int], str | None]:
    """Returns the function that plays one seed and returns its violation."""
    from autohedge.faultsim.runner import parse_faults, simulate

    faults = parse_faults(None)

    def play(seed: int) -> str | None:
        failed = simulate([seed], faults, done=lambda _: None).failed
        return failed[0].violation if failed else None

    return play


def _begin_step(at: str) -> None:
    _write(Step(at))
    signal.alarm(STEP_S)  # its default action ends the process, whatever the process does


def _write(line: Step | Result) -> None:
    print(msgspec.json.encode(line).decode(), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
