"""Decides the cases of market data: what `data check` and `run` print, and their exit codes."""

import json
import re
from collections.abc import Callable

from tests.cases.checks import Check, Ended, must

Decide = Callable[[Ended], list[Check]]


def _text(ended: Ended) -> str:
    return ended.out + ended.err


def _codes(ended: Ended) -> list[int]:
    """Returns the exit codes that the case printed."""
    return [int(code) for code in re.findall(r"^rc (\d+)$", ended.out, re.MULTILINE)]


def _stream(ended: Ended) -> dict[str, object]:
    """Returns what `data check --json` shows of the first stream."""
    for line in ended.out.splitlines():
        if line.startswith('{"streams"'):
            stream: dict[str, object] = json.loads(line)["streams"][0]
            return stream
    return {}


def _lines_of_error(ended: Ended) -> list[str]:
    return [line for line in _text(ended).splitlines() if line.startswith("autohedge: ")]


def refused(*texts: str) -> Decide:
    """Returns a function that wants exit code 2 and one line with all of these texts."""

    def decide(ended: Ended) -> list[Check]:
        lines = _lines_of_error(ended)
        shown = " ".join(lines)
        return [
            must(_codes(ended) == [2], "it is refused with exit code 2", _codes(ended)),
            must(
                len(lines) == 1 and "Traceback" not in _text(ended), "one line says why", _text(ended)[-300:]
            ),
            *(must(text in shown, f"the line names {text}", shown) for text in texts),
        ]

    return decide


def read(rows: int, spread_bps: str) -> Decide:
    """Returns a function that wants the file to be read with this many rows and this median spread."""

    def decide(ended: Ended) -> list[Check]:
        shown = dict(re.findall(r"^(rows|median spread) +([\d.,]+)", ended.out, re.MULTILINE))
        return [
            must(_codes(ended) == [0], "it is read", _text(ended)[-300:]),
            must(shown.get("rows") == str(rows), f"it has {rows} rows", shown),
            must(shown.get("median spread") == spread_bps, f"its spread is {spread_bps} bps", shown),
        ]

    return decide


def infinite_quote(ended: Ended) -> list[Check]:
    """`data check` and the run count the same bad quotes."""
    stream, run = _stream(ended), re.search(r"bad_quote (\d+)", ended.out)
    counted = sum(int(str(stream.get(name, 0))) for name in ("missing", "non_positive", "crossed"))
    spread = stream.get("median_spread_bps")
    return [
        must(run is not None and run[1] == "17", "the run counts 17 bad quotes", ended.out[-200:]),
        must(counted == stream.get("bad_quote") == 17, "data check counts the same 17", stream),
        must(isinstance(spread, float) and abs(spread - 1) < 0.01, "the spread is of good quotes", spread),
        must(not ended.err.strip(), "nothing is printed on stderr", ended.err[-200:]),
    ]


def close_outside_range(ended: Ended) -> list[Check]:
    """The bar that closes above its high is counted."""
    stream = _stream(ended)
    return [
        must(_codes(ended) == [0], "the file is checked", _text(ended)[-300:]),
        must((stream.get("outside"), stream.get("bad_quote")) == (1, 1), "one bar is counted", stream),
    ]


def same_answer_warm_and_cold(ended: Ended) -> list[Check]:
    """The two answers for one file are the same."""
    answers = re.split(r"^rc \d+\n", ended.out, flags=re.MULTILINE)
    codes = _codes(ended)
    return [
        must(len(codes) == 2 and codes[0] == codes[1], "both exit codes are the same", codes),
        must(len(answers) == 3 and answers[0] == answers[1], "both answers are the same", ended.out[-300:]),
    ]


def poisoned_cache(ended: Ended) -> list[Check]:
    """A run on changed columns of the cache trades on the tape's own prices."""
    results = dict(re.findall(r"^(true|poisoned) run +(0 equity \S+ buys \d+)", ended.out, re.MULTILINE))
    replays = re.findall(r"replay \w+(?: of the true run now)?: \(?(\d+)", ended.out)
    replays += re.findall(r"replay of the true run now: \(?(\d+)", ended.out)
    return [
        must(ended.exit_code == 0 and len(results) == 2, "both runs end", _text(ended)[-300:]),
        must(results.get("true") == results.get("poisoned"), "both trade the same prices", results),
        must("genesis hash equal: True" in ended.out, "both name the same tape", ended.out[-300:]),
        must(bool(replays) and set(replays) == {"0"}, "both are replayed", ended.out[-300:]),
    ]


def too_many_symbols(ended: Ended) -> list[Check]:
    """A market of hundreds of symbols starts with the usual limit of open files."""
    line = ended.out.strip()
    return [must("exit 0, 0 traceback" in line, "the run ends without an error", line)]


DECISIONS: dict[str, Decide] = {
    "18-check-infinite-quote": infinite_quote,
    "19-bars-duplicate-stamp": refused("row 100", "time of the bar before"),
    "20-bars-close-outside-range": close_outside_range,
    "21-bars-name-says-hour": refused("1h", "1m"),
    "22-bars-irregular": refused("irregular", "name the file"),
    "23-symbol-column-contradicts": refused("ETH/USD", "BTC/USD"),
    "24-suffix-depends-on-cache": same_answer_warm_and_cold,
    "29-csv-thousands": read(10, "0.00"),
    "30-csv-iso-times": read(50, "1.00"),
    "31-csv-header-spaces": read(10, "1.00"),
    "32-csv-semicolon": read(10, "1.00"),
    "33-csv-column-twice": refused("bid", "twice"),
    "34-zip-named-csv": refused("ZIP", "unpack"),
    "poisoned_cache": poisoned_cache,
    "too_many_symbols": too_many_symbols,
}
