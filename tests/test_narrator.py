"""What a run says on the way: shapes that can be grepped, by level, and nothing on stdout."""

import io
import re
from decimal import Decimal
from pathlib import Path
from threading import Event

import pytest

from autohedge import app, session
from autohedge.core.abstentions import told
from autohedge.core.events import (
    Accepted,
    Alarm,
    Cooldown,
    Decision,
    Deliberate,
    Disposed,
    Entry,
    External,
    Halted,
    Link,
    NotFound,
    Overfilled,
    PromptsChanged,
    Proposal,
    Reducing,
    Rejected,
    Restarted,
    RunNonce,
    Throttled,
    Unknown,
)
from autohedge.engine.watch import Silent
from autohedge.journal import RunFolder
from autohedge.market import Recipe, Tape, synthesize
from autohedge.narrator import watch
from autohedge.session import Pace
from tests.support import quotes_tape, settings

EAGER = {
    "momentum__min_edge_bps": 1,
    "momentum__warmup_count": 5,
    "momentum__evaluate_every_quotes": 2,
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 3,
}
NUMBER = r"-?\d+\.\d{2}"
PRICE = r"\d+\.\d{8}"
BUY = (
    rf"\[HFT\] BUY trigger \S+: edge_bps={NUMBER} >= min_edge_bps=1\.00, "
    rf"spread_bps={NUMBER} <= max_spread_bps=25\.00 \| entry\(mid\)={PRICE} tp={PRICE} sl={PRICE}"
)
SELL = rf"\[MONITOR\] SELL trigger \(TAKE PROFIT\) for \S+: entry={PRICE} current={PRICE} \([+-]\d+\.\d+%\) tp={PRICE}"
SKIP = [
    r"\[HFT\] Skip \S+: invalid quote",
    rf"\[HFT\] Skip \S+: spread_bps={NUMBER} > 25\.00",
    r"\[HFT\] Skip \S+: insufficient history",
    rf"\[HFT\] Skip \S+: edge_bps={NUMBER} < 1\.00",
    rf"\[HFT\] Debounce \S+: 1/2 quotes collected \(mid={PRICE}\)",
    rf"\[MONITOR\] Check \S+: entry={PRICE} current={PRICE} pl=[+-]\d+\.\d+%",
]


@pytest.fixture
def market() -> Tape:
    return synthesize(Recipe(("A/USD", "B/USD"), 1 / 60, 20, 0.02, seed=4))


def _said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def _matching(shape: str, lines: list[str]) -> int:
    return sum(re.fullmatch(shape, line) is not None for line in lines)


def test_normal_says_triggers_orders_fills_and_the_mode(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(**EAGER)
    results = session.begin(
        wanted, market, Pace(), seeded=True, watch=watch(wanted, on_clock=True, quiet=False)
    )
    lines = _said(capsys)
    assert lines[0] == f"[RUN] {results['run']}: hft · momentum · simulated venue, no real money"
    assert _matching(BUY, lines) == results["buys"] > 3
    assert _matching(SELL, lines) == results["take_profits"] > 0
    assert sum("(STOP LOSS)" in line for line in lines) == results["stop_losses"] > 0
    assert sum(line.startswith("[ORDER] LIMIT") for line in lines) == results["buys"]
    assert sum(line.startswith("[SUCCESS] Order") for line in lines) == results["buys"] + results["sells"]
    assert not any(_matching(shape, lines) for shape in SKIP)


def test_a_trailing_stop_is_said_with_the_highest_bid(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(**EAGER | {"exits__trailing_activation_bps": 0.5, "exits__trailing_distance_bps": 1})
    results = session.begin(
        wanted, market, Pace(), seeded=True, watch=watch(wanted, on_clock=True, quiet=False)
    )
    said = [line for line in _said(capsys) if "(TRAILING STOP)" in line]
    assert len(said) == results["trailing_stops"] > 0
    for line in said:
        figures = re.search(rf"current=({PRICE}) \S+ highest=({PRICE})$", line)
        assert figures and float(figures[1]) <= float(figures[2]) * 0.9999


def test_verbose_says_what_became_of_every_quote_and_the_record_is_the_same(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = [(10**9 * n, 100.0 + n % 7 * 0.05, 100.04 + n % 7 * 0.05) for n in range(1, 60)]
    tape = quotes_tape([wide[0], (2 * 10**9, 100.0, 101.0), (3 * 10**9, None, 101.0), *wide[3:]])
    wanted = settings(**EAGER, chatter_level="verbose")
    loud = app.run(wanted, tape, watch(wanted, on_clock=False, quiet=False))
    lines = _said(capsys)
    for shape in SKIP:
        assert _matching(shape, lines) > 0, shape
    codes = loud["codes"]
    assert _matching(SKIP[4], lines) == codes["debounce"] and _matching(SKIP[3], lines) == codes["no_edge"]
    still = app.run(wanted, tape)
    assert (
        RunFolder.find(loud["run"]).journal.read_bytes() == RunFolder.find(still["run"]).journal.read_bytes()
    )


@pytest.mark.parametrize(("level", "on_clock"), [("low", True), ("auto", False)])
def test_low_says_nothing_of_a_run_that_goes_well(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str], level: str, on_clock: bool
) -> None:
    wanted = settings(**EAGER, chatter_level=level)
    app.run(wanted, market, watch(wanted, on_clock=on_clock, quiet=False))
    assert _said(capsys) == []


def test_what_is_wrong_is_said_at_every_level(market: Tape, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = settings(chatter_level="low")
    engine = app.engine_for(wanted, market)
    narrator = watch(wanted, on_clock=True, quiet=False)(engine, market.rows, "r1")
    for event in (
        Halted("disk full", "halt-7"),
        Rejected(1, "id-1", "no money"),
        Unknown(1, "id-2", "timeout"),
        Restarted(1, 50, "00", ("id-3",)),
        Throttled(1, "id-5", 9),
        Alarm("short", "X", "more was sold\x1b[2J than was held"),
        Overfilled("id-6", Decimal(2)),
        External("cash", "", Decimal(-3), "halt"),
        Link(1, "down"),
        Reducing(("link",)),
        NotFound(1, "id-3", 0),
        Accepted(1, "id-4", "v"),
    ):
        narrator.saw(Entry(1, 1, event))
    narrator.close()
    assert _said(capsys) == [
        "[RISK] Entries halted: disk full (halt id halt-7)",
        "[FAILED] Order id-1 rejected: no money",
        "[FAILED] Order id-2 unknown: timeout",
        "[TRACKER] Restarted at row 50; orders lost at the crash, unsent: 1",
        "[FAILED] Order id-5 throttled: the venue wants rest",
        "[TRACKER] short X: more was sold?[2J than was held",
        "[TRACKER] Order id-6 overfilled by 2; the excess is booked",
        "[TRACKER] The venue holds -3 more than our books (cash): halt",
        "[TRACKER] Connection to the venue: down",
    ]


def test_what_a_team_is_asked_says_and_comes_to_is_said_once_each(
    market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(chatter_level="normal", trading__mode="llm")
    narrator = watch(wanted, on_clock=True, quiet=False)(app.engine_for(wanted, market), market.rows, "r1")
    proposal = Proposal(50, 120, 40, 2, "gtc")
    bought = Decision(2, 7, "trade", "X", 1, "trade", "", "long", 72, "model", proposal=proposal)
    for event in (
        Deliberate(1, 7, "trade", "X", "ab"),
        bought,
        Disposed(2, 7, "X", "max_exposure"),
        Disposed(2, 8, "X", "entry"),
        Disposed(2, 9, "X", "no_edge"),
        Decision(3, 10, "trade", "X", 2, "no_trade", "refuted", "long", 60, "model"),
        Disposed(3, 10, "X", "refuted"),
        Cooldown(3, "X", 10, "refuted"),
        Cooldown(4, "X", 0, "expired"),
    ):
        narrator.saw(Entry(1, 1, event))
    narrator.close()
    assert _said(capsys) == [
        "[AGENT] Asking about X (question 7)",
        "[AGENT] trade X: trade (long 72 %), size=50 % tp=+120 sl=-40 bps limit=-2 bps gtc from model",
        f"[RISK] X: no order from question 7 (max_exposure): {told('max_exposure')}",
        "[AGENT] trade X: no_trade (refuted) from model",
        f"[RISK] X: no order from question 10 (refuted): {told('refuted')}",
        "[COOLDOWN] X: no question for 10 quotes after refuted",
        "[COOLDOWN] X: expired",
    ]


def test_a_change_of_prompts_is_said_and_what_is_wrong_with_one_at_every_level(
    market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = Entry(1, 1, PromptsChanged(1, {"director": "12ab34.md", "learning": "cd56.md"}))
    for level in ("low", "normal"):
        wanted = settings(chatter_level=level)
        narrator = watch(wanted, on_clock=True, quiet=False)(
            app.engine_for(wanted, market), market.rows, "r1"
        )
        narrator.saw(changed)
        narrator.tell("[AGENT] prompts/x.md, line 1:\x1b[2J")
        narrator.close()
        said = [
            "[AGENT] Prompts changed: director (hash 12ab…), learning (hash cd56…), from the next question on"
        ]
        assert _said(capsys) == said * (level == "normal") + ["[AGENT] prompts/x.md, line 1:?[2J"]
    assert type(changed.event) in narrator.wants
    Silent(app.engine_for(wanted, market), market.rows, "r1").tell("[AGENT] wrong")
    assert "[AGENT] wrong" in capsys.readouterr().err


def test_a_long_run_says_how_far_it_is_in_plain_lines(
    market: Tape, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = iter(range(0, 10**12, 10**9))
    monkeypatch.setattr("autohedge.progress.monotonic_ns", lambda: next(now_ns))
    wanted = settings(chatter_level="low")
    engine = app.engine_for(wanted, market)
    narrator = watch(wanted, on_clock=True, quiet=False)(engine, market.rows, "r1")
    for _ in range(3):
        narrator.wake()
        engine.scan(market.rows, engine.pos, engine.pos + 10)
    narrator.close()
    first, *_ = lines = _said(capsys)
    assert re.fullmatch(
        r"\[PROGRESS\] \d+\.\d% · \d+ rows/s · ETA \d+ s · equity 10,000\.00 · 0 fills · open: nothing", first
    )
    assert len(lines) == 2


def test_a_symbol_cannot_move_the_cursor(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quotes = [(10**9 * n, 100.0 + n, 100.01 + n) for n in range(1, 9)]
    wanted = settings(**EAGER, chatter_level="normal")
    app.run(wanted, quotes_tape(quotes, "A\x1b[2J"), watch(wanted, on_clock=True, quiet=False))
    lines = _said(capsys)
    assert any("BUY trigger A?[2J" in line for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_terminal_gets_one_bar(market: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    wanted = settings(chatter_level="low")
    engine = app.engine_for(wanted, market)
    narrator = watch(wanted, on_clock=True, quiet=False)(engine, market.rows, "r1")
    engine.scan(market.rows, 0, len(market.rows))
    narrator.wake()
    narrator.close()
    assert "100%" in screen.getvalue() and "equity 10,000.00" in screen.getvalue()


def test_nobody_who_does_not_listen_holds_up_a_run_on_a_clock(
    market: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, deaf = Event(), Event()

    class Deaf(io.StringIO):
        def write(self, text: str) -> int:
            heard.set()
            deaf.wait()
            return super().write(text)

    screen = Deaf()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("autohedge.progress.UNSAID_MAX", 5)
    monkeypatch.setattr("autohedge.progress.HEARD_S", 10.0)
    wanted = settings()
    narrator = watch(wanted, on_clock=True, quiet=False)(app.engine_for(wanted, market), market.rows, "r1")
    narrator.saw(Entry(1, 1, Halted("first")))
    assert heard.wait(10)
    for _ in range(20):
        narrator.saw(Entry(1, 1, Halted("again")))
    deaf.set()
    narrator.close()
    assert screen.getvalue().count("again") == 5
    assert "15 lines could not be written in time" in screen.getvalue()


def test_a_strategy_without_a_spread_limit_is_told_of_too(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(strategy__name="crossover", crossover__fast=2, crossover__slow=4, crossover__bar_s=1)
    results = app.run(
        wanted.model_copy(update={"chatter_level": "verbose"}),
        market,
        watch(wanted.model_copy(update={"chatter_level": "verbose"}), on_clock=False, quiet=False),
    )
    lines = _said(capsys)
    assert sum("[HFT] BUY trigger" in line for line in lines) == results["buys"] > 0


class _Broken(Silent):
    wants = frozenset({RunNonce})
    wants_rows = True

    def saw(self, entry: Entry) -> None:
        raise ValueError("no such field")

    def row(self, row: int) -> None:
        raise AssertionError("it was told more")


def test_a_fault_of_who_looks_on_ends_the_looking_and_not_the_run(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = session.begin(settings(**EAGER), market, Pace(), seeded=True)
    broken = session.begin(settings(**EAGER), market, Pace(), seeded=True, watch=_Broken)
    assert "the run goes on" in capsys.readouterr().err
    assert blind["journal_head"] == broken["journal_head"]
