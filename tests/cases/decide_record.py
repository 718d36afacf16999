"""Decides the cases about records: a full disk, a changed record, a folder that somebody else sent."""

import re
from collections.abc import Callable

from tests.cases.checks import SKIP, Check, Ended, must


def _full_disk(ended: Ended) -> list[Check]:
    """A transcript whose disk was full has no torn line and stays readable; needs root for its file system."""
    if "mount" in ended.err and "torn lines" not in ended.out:
        return [Check(SKIP, "a file system for the full disk cannot be mounted; that needs root")]
    codes = dict(re.findall(r"^(journal verify|replay|audit) (-?\d+)", ended.out, re.MULTILINE))
    return [
        # An interrupted run ends with 1.
        must("run ended: 1 torn lines: 0" in ended.out, "the run goes on and leaves no torn line", ended.out),
        *(must(codes.get(verb) == "0", f"{verb} reads the record", ended.out[-300:]) for verb in _READERS),
    ]


_READERS = ("journal verify", "replay", "audit")


def _verify(ended: Ended) -> list[Check]:
    """Every part of a record is verified, and replay refuses results that do not fit."""
    changed = ("emptied", "removed", "a key added to results.json", "cash changed in results.json: verify")
    found = [
        must(
            re.search(rf"^{re.escape(what)}:? 1$", ended.out, re.MULTILINE) is not None,
            f"{what}: exit 1",
            ended.out,
        )
        for what in changed
    ]
    # The case shows the exit code of `tail`; the error of the replay is the last line.
    last = (ended.err.strip().splitlines() or [""])[-1]
    return [
        *found,
        must("annual_return_pct" in ended.err, "the added key is named", ended.err[-300:]),
        must(
            "cash is '99999'" in last and "reproduced" not in ended.out, "replay names the changed key", last
        ),
    ]


def _foreign_run(ended: Ended) -> list[Check]:
    """A strategy that came with a record is not executed; what would execute it ends with one line."""
    lines = {line.partition(":")[0]: line for line in ended.out.splitlines()}
    views = [f"{view} last" for view in ("journal verify", "runs show", "audit")]
    refused = ["replay last", "whatif last --mode hft"]
    return [
        *(
            must("exit 0, no code run" in lines.get(view, ""), f"{view} executes nothing", ended.out)
            for view in views
        ),
        *(
            must(
                "exit 3, no code run, said: autohedge: run " in lines.get(verb, ""),
                f"{verb} is refused in a line",
                ended.out,
            )
            for verb in refused
        ),
        must("CODE WAS RUN" not in ended.out, "no code of the record was executed", ended.out),
    ]


DECISIONS: dict[str, Callable[[Ended], list[Check]]] = {
    "full_disk_transcript": _full_disk,
    "verify_ignores_transcript": _verify,
    "foreign_run_runs_code": _foreign_run,
}
"""The decisions by the case's file name."""
