"""Decides the cases of ../shared/cases about strategies, output and the end of a process."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.cases.checks import Check, Ended, must

ROOT = Path(__file__).resolve().parents[2]


def _exit_codes(ended: Ended) -> list[int]:
    """Returns the exit codes that a case printed as `rc N`."""
    return [int(code) for code in re.findall(r"^rc (-?\d+)$", ended.out, re.MULTILINE)]


def _no_traceback(ended: Ended) -> Check:
    return must("Traceback" not in ended.out + ended.err, "no traceback", ended.err[-300:])


def _ends_with(ended: Ended, *codes: int) -> list[Check]:
    found = _exit_codes(ended)
    return [must(found == list(codes), f"the exit codes are {codes}", found), _no_traceback(ended)]


def _one_line(ended: Ended, *parts: str) -> list[Check]:
    """Returns the checks of a single line on stderr that contains all parts."""
    # Without a terminal the shell of a case has messages of its own.
    lines = [line for line in ended.err.splitlines() if not line.startswith("bash: ")]
    one = must(len(lines) == 1, "stderr has one line", ended.err[-300:])
    return [one, *(must(part in ended.err, f"it names {part!r}", ended.err[-300:]) for part in parts)]


def _init_value_error(ended: Ended) -> list[Check]:
    text = "ValueError: window must be at least 3"
    return [*_ends_with(ended, 2), *_one_line(ended, "strategy Mine", "__init__", text, "mine.py, line 5")]


def _init_type_error(ended: Ended) -> list[Check]:
    parts = ("strategy Mine", "__init__", "TypeError", "mine.py, line 4")
    blamed = must("does not take" not in ended.err, "the params are not blamed", ended.err)
    return [*_ends_with(ended, 2), *_one_line(ended, *parts), blamed]


def _sys_exit(ended: Ended) -> list[Check]:
    codes = _exit_codes(ended)
    failed = must(codes != [0] and len(codes) == 1, "the exit code is not 0", codes)
    return [failed, *_one_line(ended, "sys.exit", "at row 50", "mine.py, line 8", "open positions")]


def _print_json(ended: Ended) -> list[Check]:
    alone = must("one JSON object" in ended.out.splitlines(), "stdout is one JSON object", ended.out[:200])
    return [alone, *_ends_with(ended, 0), must("mid 100.0" in ended.err, "prints go to stderr")]


def _sibling_import(ended: Ended) -> list[Check]:
    return [*_ends_with(ended, 0, 0), must("every output reproduced" in ended.out, "the run is replayed")]


def _bar_without_reads(ended: Ended) -> list[Check]:
    return [*_ends_with(ended, 2), *_one_line(ended, "on_bar", "reads = Kind.BARS")]


def _multiline_error(ended: Ended) -> list[Check]:
    lines = ended.out.splitlines()
    one = must(len(lines) == 3 and lines[1].strip() == "1", "stderr has one line", ended.out)
    line = lines[-1] if lines else ""
    parts = ("RuntimeError: bad model: weights are missing", "mine.py, line 4")
    named = [must(part in line, f"it names {part!r}", line) for part in parts]
    return [one, *named, must(_exit_codes(ended) != [0], "the exit code is not 0")]


def _other_encoding(ended: Ended) -> list[Check]:
    return _ends_with(ended, 0)


def _stderr_closed(ended: Ended) -> list[Check]:
    begins = any(line.startswith('{"') for line in ended.out.splitlines())
    return [
        *_ends_with(ended, 0),
        must(begins, "stdout has the JSON object", ended.out[:200]),
        must(
            "unfinished" not in ended.out and "momentum" in ended.out, "the run is finished", ended.out[-300:]
        ),
    ]


def _interrupt(ended: Ended) -> list[Check]:
    written = must("True" in ended.out.splitlines(), "the results say that it was interrupted", ended.out)
    return [*_ends_with(ended, 1), *_one_line(ended, "interrupted"), written]


def _narrow(ended: Ended) -> list[Check]:
    codes = ("debounce", "no_edge", "in_position", "warming_up", "entry")
    whole = [
        must(re.search(rf"^{code} ", ended.out, re.MULTILINE) is not None, f"{code} is whole")
        for code in codes
    ]
    amounts = [must(text in ended.out, f"{text} is whole") for text in ("9,999.80", "10,000.00")]
    return [*whole, *amounts, must("…" not in ended.out, "nothing is cut", ended.out), _no_traceback(ended)]


def _stop_inside_bar(ended: Ended) -> list[Check]:
    shown = "closes of bars only" in ended.out and "better than life" in ended.out
    return [must(shown, "the summary says that exits look at closes only", ended.out), _no_traceback(ended)]


def _docs_import(ended: Ended) -> list[Check]:
    page = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    imports = re.search(r"^from autohedge\.strategies import (.+)$", page, re.MULTILINE)
    imported = set(imports[1].split(", ")) if imports else set()
    fields = ("bid_size", "ask_size", "mid", "open", "high", "low", "close", "volume", "ts_ns", "symbol")
    shown = [must(f"`{field}`" in page, f"docs/strategies.md has the field {field}") for field in fields]
    start = must("is the bar's start" in page, "docs/strategies.md says what a bar's stamp is")
    named = must("line 3" in ended.err, "the error names the line", ended.err)
    return [
        must(imported >= {"Bar", "Kind", "Quote", "Signal", "Strategy"}, "docs/strategies.md has the import"),
        *shown,
        start,
        named,
        _no_traceback(ended),
    ]


def _terminal_escapes(ended: Ended) -> list[Check]:
    views = [line for line in ended.out.splitlines() if line.endswith("raw lines")]
    clean = [
        must(line.endswith(": 0 raw lines"), f"no raw escape in {line.partition(':')[0]}", line)
        for line in views
    ]
    return [must(len(views) == 4, "four views were tried", ended.out), *clean]


DECISIONS: dict[str, Callable[[Ended], list[Check]]] = {
    "08-strategy-init-valueerror": _init_value_error,
    "09-strategy-init-typeerror": _init_type_error,
    "10-strategy-sys-exit": _sys_exit,
    "11-strategy-print-json": _print_json,
    "12-strategy-sibling-import": _sibling_import,
    "13-strategy-bar-without-reads": _bar_without_reads,
    "14-strategy-multiline-error": _multiline_error,
    "25-stdout-cp1252": _other_encoding,
    "26-stdout-ascii-hybrid": _other_encoding,
    "27-stderr-closed": _stderr_closed,
    "28-interrupt-exit-code": _interrupt,
    "35-narrow-codes": _narrow,
    "36-bars-stop-inside-bar": _stop_inside_bar,
    "37-docs-strategy-import": _docs_import,
    "terminal_escapes": _terminal_escapes,
}
"""The function that decides each case, by the name of its folder or file."""
