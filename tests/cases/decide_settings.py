"""Decides the cases of ../shared/cases about settings, names and the order of runs."""

import re
from collections.abc import Callable

from tests.cases.checks import Check, Ended, must

RUN_ID = re.compile(r"\b\d{8}T\d{6}-[\w-]+")


def _no_traceback(ended: Ended) -> Check:
    return must("Traceback" not in ended.out + ended.err, "no traceback", ended.err[-300:])


def _refused(ended: Ended, *named: str) -> list[Check]:
    """Checks for exit code 2, and for one line per command on stderr that holds all of `named`."""
    lines = [line for line in ended.err.splitlines() if line.startswith("autohedge: ")]
    return [
        must("rc 2" in ended.out.splitlines(), "the exit code is 2", ended.out),
        must(bool(lines) and ended.err.count("\n") == len(lines), "errors are single lines", ended.err),
        *(must(all(name in line for line in lines), f"the error names {name}", ended.err) for name in named),
        _no_traceback(ended),
    ]


def section_case(ended: Ended) -> list[Check]:
    """A section in another case is refused with the right name."""
    return [
        *_refused(ended, "unknown setting Risk;", "did you mean risk?"),
        must("valid" not in ended.out and "100000" not in ended.out, "no default is in force", ended.out),
    ]


def single_underscore(ended: Ended) -> list[Check]:
    """A variable with one underscore is refused with the right name."""
    return _refused(ended, "AUTOHEDGE_MOMENTUM_MIN_EDGE_BPS", "AUTOHEDGE__MOMENTUM__MIN_EDGE_BPS")


def unknown_symbol(ended: Ended) -> list[Check]:
    """Overrides of a symbol in another spelling are refused with the one of the tape."""
    return [
        *_refused(ended, '"BTC/USDT"', "did you mean BTCUSDT?"),
        must("{" not in ended.out, "there is no run", ended.out[:300]),
    ]


def is_read(ended: Ended) -> list[Check]:
    """A file with a byte order mark is read: one setting is set."""
    return [
        must(
            "the settings are valid; 1 are set" in ended.out, "its setting is in force", ended.out + ended.err
        ),
        must("rc 0" in ended.out.splitlines() and not ended.err, "the exit code is 0", ended.err),
    ]


def full_key(ended: Ended) -> list[Check]:
    """A key without its section is refused with the full key."""
    return _refused(ended, "unknown setting min_edge_bps; did you mean momentum.min_edge_bps?")


def list_of_a_variable(ended: Ended) -> list[Check]:
    """A list that is no JSON is refused with the variable and the right form."""
    return _refused(ended, "AUTOHEDGE__SYNTHETIC__SYMBOLS", '["BTC/USD","ETH/USD"]')


def last_after_rename(ended: Ended) -> list[Check]:
    """`last` is the newest run, whatever an older one is called now."""
    verified, *listed = ended.out.splitlines() or [""]
    newest = next((name for name in listed if RUN_ID.fullmatch(name)), "no run")
    return [
        must("baseline" in listed, "the older run is there under its new name", ended.out),
        must(verified.startswith(f"{newest}: "), "last is the newest run", ended.out + ended.err),
    ]


def oldest_first(ended: Ended) -> list[Check]:
    """`runs list` begins with the oldest run."""
    names = [line.split()[0] for line in ended.out.splitlines() if line.strip()]
    order = [name for name in names if name == "golden" or RUN_ID.fullmatch(name)]
    return [
        must(len(order) == 2 and order[0] == "golden", "golden stands before the newer run", ended.out),
    ]


def shown_by_path(ended: Ended) -> list[Check]:
    """The summary of a moved run names its path, also in the commands."""
    return [
        must("Recorded in kept/r1." in ended.out, "the summary names the folder", ended.out + ended.err),
        must("journal verify kept/r1" in ended.out, "its commands name the folder", ended.out),
        must("runs/" not in ended.out, "the old place is not named", ended.out),
    ]


def flatten_last(ended: Ended) -> list[Check]:
    """`flatten last` reaches the run that trades."""
    return [
        must("rc 0" in ended.out.splitlines(), "the exit code of flatten is 0", ended.out + ended.err),
        must(
            bool(RUN_ID.match(ended.out)) and "every position is being closed" in ended.out,
            "the running run sells its positions",
            ended.out,
        ),
    ]


def deep_or_huge(ended: Ended) -> list[Check]:
    """Deep and huge values in a settings file end with one line."""
    lines = ended.out.splitlines()
    return [
        must(
            any(line.startswith(f"{file}: exit 2, 0 traceback, autohedge: {file}.toml ") for line in lines),
            f"{file}.toml is refused in one line",
            ended.out,
        )
        for file in ("a", "b")
    ]


DECISIONS: dict[str, Callable[[Ended], list[Check]]] = {
    "01-section-case-config": section_case,
    "02-env-single-underscore": single_underscore,
    "03-override-unknown-symbol": unknown_symbol,
    "04-dotenv-utf16": is_read,
    "05-config-bom": is_read,
    "06-suggestion-same-toplevel": full_key,
    "07-env-list-message": list_of_a_variable,
    "15-last-after-rename": last_after_rename,
    "16-list-oldest-first": oldest_first,
    "17-show-by-path": shown_by_path,
    "38-flatten-last": flatten_last,
    "config_traceback": deep_or_huge,
}
"""Each case of this part by the name of its folder or file, and what decides it."""
