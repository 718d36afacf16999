"""Tests the event log: the shapes of its lines, its levels, and that stdout stays empty."""

import io
import re
from decimal import Decimal
from pathlib import Path
from threading import Event

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.wall_run import LaunchOptions
from autohedge.console.event_log import event_log_factory
from autohedge.core.abstentions import describe
from autohedge.core.events import (
    Alert,
    ConnectionStatus,
    CooldownChanged,
    Decision,
    DeliberationRequested,
    ExternalChange,
    JournalEntry,
    OrderAccepted,
    OrderNotFound,
    OrderOverfilled,
    OrderRejected,
    PromptsChanged,
    Proposal,
    ProposalResolved,
    RequestThrottled,
    RequestUnknown,
    Restarted,
    RunStarted,
    TradingStateChanged,
)
from autohedge.journal import RunFolder
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.runtime.observers import NullObserver
from autohedge.runtime.run_view import RunView
from tests.run_harness import quotes_tape, settings

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
SELL = (
    r"\[MONITOR\] SELL trigger \(TAKE PROFIT\) for \S+: "
    rf"entry={PRICE} current={PRICE} \([+-]\d+\.\d+%\) tp={PRICE}"
)
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
    return synthesize(SyntheticSpec(("A/USD", "B/USD"), 1 / 60, 20, 0.02, seed=4))


def _log_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def _matching(shape: str, lines: list[str]) -> int:
    return sum(re.fullmatch(shape, line) is not None for line in lines)


def test_normal_level_shows_triggers_orders_fills_and_the_mode(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(**EAGER)
    results = wall_run.start(
        wanted,
        market,
        LaunchOptions(),
        seeded=True,
        observers=[event_log_factory(wanted, on_clock=True, quiet=False)],
    )
    lines = _log_lines(capsys)
    assert lines[0] == f"[RUN] {results.run}: hft · momentum · simulated venue, no real money"
    assert _matching(BUY, lines) == results.buys > 3
    assert _matching(SELL, lines) == results.take_profits > 0
    assert sum("(STOP LOSS)" in line for line in lines) == results.stop_losses > 0
    assert sum(line.startswith("[ORDER] LIMIT") for line in lines) == results.buys
    assert sum(line.startswith("[SUCCESS] Order") for line in lines) == results.buys + results.sells
    assert not any(_matching(shape, lines) for shape in SKIP)


def test_trailing_stop_line_shows_the_highest_bid(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(**EAGER | {"exits__trailing_activation_bps": 0.5, "exits__trailing_distance_bps": 1})
    results = wall_run.start(
        wanted,
        market,
        LaunchOptions(),
        seeded=True,
        observers=[event_log_factory(wanted, on_clock=True, quiet=False)],
    )
    triggers = [line for line in _log_lines(capsys) if "(TRAILING STOP)" in line]
    assert len(triggers) == results.trailing_stops > 0
    for line in triggers:
        figures = re.search(rf"current=({PRICE}) \S+ highest=({PRICE})$", line)
        assert figures and float(figures[1]) <= float(figures[2]) * 0.9999


@pytest.mark.parametrize(
    ("direction", "shape"),
    [("short", "edge_bps=0.50 > -1.00"), ("both", "-1.00 < edge_bps=0.50 < 1.00")],
)
def test_skipped_quote_shows_the_comparison_of_its_direction(
    workplace: Path, capsys: pytest.CaptureFixture[str], direction: str, shape: str
) -> None:
    # A rise of 0.5 bps is too small for a long, and no fall.
    tape = quotes_tape([(10**9 * n, mid, mid) for n, mid in enumerate([100.0] * 8 + [100.005], start=1)])
    account = {"trading__direction": direction, "account__kind": "covered"}
    strategy = {"momentum__lookback": 2, "momentum__evaluate_every_quotes": 1, "momentum__warmup_count": 3}
    wanted = settings(**EAGER | account | strategy, chatter_level="verbose")
    app.run(wanted, tape, [event_log_factory(wanted, on_clock=False, quiet=False)])
    assert _log_lines(capsys)[-1].endswith(f": {shape}")


def test_verbose_level_shows_quote_outcomes_and_record_is_the_same(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = [(10**9 * n, 100.0 + n % 7 * 0.05, 100.04 + n % 7 * 0.05) for n in range(1, 60)]
    tape = quotes_tape([wide[0], (2 * 10**9, 100.0, 101.0), (3 * 10**9, None, 101.0), *wide[3:]])
    wanted = settings(**EAGER, chatter_level="verbose")
    loud = app.run(wanted, tape, [event_log_factory(wanted, on_clock=False, quiet=False)])
    lines = _log_lines(capsys)
    for shape in SKIP:
        assert _matching(shape, lines) > 0, shape
    codes = loud.codes
    assert _matching(SKIP[4], lines) == codes["debounce"] and _matching(SKIP[3], lines) == codes["no_edge"]
    still = app.run(wanted, tape)
    assert RunFolder.find(loud.run).journal.read_bytes() == RunFolder.find(still.run).journal.read_bytes()


@pytest.mark.parametrize(("level", "on_clock"), [("low", True), ("auto", False)])
def test_low_level_of_a_good_run_writes_no_line(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str], level: str, on_clock: bool
) -> None:
    wanted = settings(**EAGER, chatter_level=level)
    app.run(wanted, market, [event_log_factory(wanted, on_clock=on_clock, quiet=False)])
    assert _log_lines(capsys) == []


def test_low_level_shows_every_failure(market: Tape, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = settings(chatter_level="low")
    engine = app.engine_for(wanted, market)
    event_log = event_log_factory(wanted, on_clock=True, quiet=False)(RunView(engine, market.rows), "r1")
    for event in (
        TradingStateChanged("halted", reason="disk full", halt_id="halt-7"),
        OrderRejected(1, "id-1", "no money"),
        RequestUnknown(1, "id-2", "timeout"),
        Restarted(1, 50, "00", ("id-3",)),
        RequestThrottled(1, "id-5", 9),
        Alert("short", "X", "more was sold\x1b[2J than was held"),
        OrderOverfilled("id-6", Decimal(2)),
        ExternalChange("cash", "", Decimal(-3), "halt"),
        ConnectionStatus(1, "down"),
        TradingStateChanged("reducing", ("link",)),
        OrderNotFound(1, "id-3", 0),
        OrderAccepted(1, "id-4", "v"),
    ):
        event_log.on_event(JournalEntry(1, 1, event))
    event_log.close()
    assert _log_lines(capsys) == [
        "[RISK] Entries halted: disk full (halt id halt-7)",
        "[FAILED] Order id-1 rejected: no money",
        "[FAILED] Order id-2 unknown: timeout",
        "[TRACKER] Restarted at row 50; orders lost at the crash, unsent: 1",
        "[FAILED] Order id-5 throttled: rate limit of the venue",
        "[TRACKER] short X: more was sold?[2J than was held",
        "[TRACKER] Order id-6 overfilled by 2; the excess is booked",
        "[TRACKER] The venue holds -3 more than the ledger (cash): halt",
        "[TRACKER] Connection to the venue: down",
    ]


def test_question_decision_and_outcome_are_shown_once_each(
    market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(chatter_level="normal", trading__mode="llm")
    event_log = event_log_factory(wanted, on_clock=True, quiet=False)(
        RunView(app.engine_for(wanted, market), market.rows), "r1"
    )
    proposal = Proposal(50, 120, 40, 2, "gtc")
    bought = Decision(2, 7, "trade", "X", 1, "trade", "", "long", 72, "model", proposal=proposal)
    sold = Decision(2, 7, "trade", "X", 1, "trade", "", "short", 72, "model", proposal=proposal)
    for event in (
        DeliberationRequested(1, 7, "trade", "X", "ab"),
        bought,
        sold,
        ProposalResolved(2, 7, "X", "max_exposure"),
        ProposalResolved(2, 8, "X", "entry"),
        ProposalResolved(2, 9, "X", "no_edge"),
        Decision(3, 10, "trade", "X", 2, "no_trade", "refuted", "long", 60, "model"),
        ProposalResolved(3, 10, "X", "refuted"),
        CooldownChanged(3, "X", 10, "refuted"),
        CooldownChanged(4, "X", 0, "expired"),
    ):
        event_log.on_event(JournalEntry(1, 1, event))
    event_log.close()
    assert _log_lines(capsys) == [
        "[AGENT] Asking about X (question 7)",
        "[AGENT] trade X: trade (long 72 %), size=50 % tp=+120 sl=-40 bps limit=-2 bps gtc from model",
        "[AGENT] trade X: trade (short 72 %), size=50 % tp=-120 sl=+40 bps limit=+2 bps gtc from model",
        f"[RISK] X: no order from question 7 (max_exposure): {describe('max_exposure')}",
        "[AGENT] trade X: no_trade (refuted) from model",
        f"[RISK] X: no order from question 10 (refuted): {describe('refuted')}",
        "[COOLDOWN] X: no question for 10 quotes after refuted",
        "[COOLDOWN] X: expired",
    ]


def test_prompt_change_is_shown_and_prompt_error_at_every_level(
    market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = JournalEntry(1, 1, PromptsChanged(1, {"director": "12ab34.md", "learning": "cd56.md"}))
    for level in ("low", "normal"):
        wanted = settings(chatter_level=level)
        event_log = event_log_factory(wanted, on_clock=True, quiet=False)(
            RunView(app.engine_for(wanted, market), market.rows), "r1"
        )
        event_log.on_event(changed)
        event_log.notify("[AGENT] prompts/x.md, line 1:\x1b[2J")
        event_log.close()
        expected = [
            "[AGENT] Prompts changed: director (hash 12ab…), learning (hash cd56…), from the next question on"
        ]
        assert _log_lines(capsys) == expected * (level == "normal") + ["[AGENT] prompts/x.md, line 1:?[2J"]
    assert type(changed.event) in event_log.wants
    NullObserver(RunView(app.engine_for(wanted, market), market.rows), "r1").notify("[AGENT] wrong")
    assert "[AGENT] wrong" in capsys.readouterr().err


def test_long_run_shows_progress_in_lines(
    market: Tape, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = iter(range(0, 10**12, 10**9))
    monkeypatch.setattr("autohedge.console.progress.monotonic_ns", lambda: next(now_ns))
    wanted = settings(chatter_level="low")
    engine = app.engine_for(wanted, market)
    event_log = event_log_factory(wanted, on_clock=True, quiet=False)(RunView(engine, market.rows), "r1")
    for _ in range(3):
        event_log.on_progress()
        engine.scan(market.rows, engine.pos, engine.pos + 10)
    event_log.close()
    first, *_ = lines = _log_lines(capsys)
    assert re.fullmatch(
        r"\[PROGRESS\] \d+\.\d% · (\d+ rows/s · ETA \d+ s · )?equity 10,000\.00 · 0 fills · open: none", first
    )
    assert len(lines) == 2


def test_control_characters_of_a_symbol_are_replaced(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quotes = [(10**9 * n, 100.0 + n, 100.01 + n) for n in range(1, 9)]
    wanted = settings(**EAGER, chatter_level="normal")
    app.run(wanted, quotes_tape(quotes, "A\x1b[2J"), [event_log_factory(wanted, on_clock=True, quiet=False)])
    lines = _log_lines(capsys)
    assert any("BUY trigger A?[2J" in line for line in lines)
    assert "\x1b" not in "".join(lines)


def test_terminal_shows_a_progress_bar(market: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    wanted = settings(chatter_level="low")
    engine = app.engine_for(wanted, market)
    event_log = event_log_factory(wanted, on_clock=True, quiet=False)(RunView(engine, market.rows), "r1")
    engine.scan(market.rows, 0, len(market.rows))
    event_log.on_progress()
    event_log.close()
    assert "100%" in screen.getvalue() and "equity 10,000.00" in screen.getvalue()


def test_blocked_stream_does_not_delay_the_run(market: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    write_started, write_released = Event(), Event()

    class BlockedStream(io.StringIO):
        def write(self, text: str) -> int:
            write_started.set()
            write_released.wait()
            return super().write(text)

    screen = BlockedStream()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("autohedge.console.progress.QUEUED_LINES_MAX", 5)
    monkeypatch.setattr("autohedge.console.progress.FLUSH_TIMEOUT_S", 10.0)
    wanted = settings()
    event_log = event_log_factory(wanted, on_clock=True, quiet=False)(
        RunView(app.engine_for(wanted, market), market.rows), "r1"
    )
    event_log.on_event(JournalEntry(1, 1, TradingStateChanged("halted", reason="first")))
    assert write_started.wait(10)
    for _ in range(20):
        event_log.on_event(JournalEntry(1, 1, TradingStateChanged("halted", reason="again")))
    # The thread holds the first line, five fit into the queue, fifteen are dropped.
    write_released.set()
    event_log.close()
    assert screen.getvalue().count("again") == 5
    assert "15 lines could not be written in time" in screen.getvalue()


def test_strategy_without_a_spread_limit_shows_triggers(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(strategy__name="crossover", crossover__fast=2, crossover__slow=4, crossover__bar_s=1)
    results = app.run(
        wanted.model_copy(update={"chatter_level": "verbose"}),
        market,
        [
            event_log_factory(
                wanted.model_copy(update={"chatter_level": "verbose"}), on_clock=False, quiet=False
            )
        ],
    )
    lines = _log_lines(capsys)
    assert sum("[HFT] BUY trigger" in line for line in lines) == results.buys > 0


class _Broken(NullObserver):
    wants = frozenset({RunStarted})
    wants_rows = True

    def on_event(self, entry: JournalEntry) -> None:
        raise ValueError("no such field")

    def on_row(self, row: int) -> None:
        raise AssertionError("called after its failure")


def test_failing_observer_does_not_end_the_run(
    workplace: Path, market: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = wall_run.start(settings(**EAGER), market, LaunchOptions(), seeded=True)
    broken = wall_run.start(settings(**EAGER), market, LaunchOptions(), seeded=True, observers=[_Broken])
    assert "the run goes on" in capsys.readouterr().err
    assert blind.journal_head == broken.journal_head
