"""A changed settings file, applied to a run on a clock through its control socket."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.reload import NO_CHANGE
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.app.wall_run import WATCH_S, LaunchOptions
from autohedge.audit import AuditFilter, audit
from autohedge.audit.summary import detail_facts
from autohedge.config import load
from autohedge.core.errors import Corrupt, Misconfigured, Refused
from autohedge.core.events import SettingsChanged
from autohedge.core.results import RunReport
from autohedge.journal import RunFolder, read
from autohedge.journal.verification import verify
from autohedge.market import SyntheticSpec, synthesize
from autohedge.runtime.control import Reply, Request, send_command
from autohedge.runtime.observers import NullObserver, ObserverFactory
from autohedge.runtime.run_view import RunView

EAGER = (
    'trading.mode="hft"',
    "momentum.min_edge_bps=-1000",
    "momentum.warmup_count=2",
    "momentum.evaluate_every_quotes=1",
)
Talk = Callable[[RunFolder], None]


class _Begun(NullObserver):
    """Reports when a run takes commands."""

    def __init__(self, view: RunView, run: str, begun: Event) -> None:
        super().__init__(view, run)
        self._begun = begun

    def on_progress(self) -> None:
        self._begun.set()


def _session(act: Callable[[ObserverFactory], RunReport], talk: Talk) -> None:
    """Runs `act` with an observer; once the run takes commands, a client talks to it and interrupts it."""
    begun = Event()

    def client() -> None:
        begun.wait(60)
        try:
            talk(RunFolder.find("last"))
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        talked = pool.submit(client)
        assert act(lambda view, run: _Begun(view, run, begun)).interrupted
        talked.result()


def _run(talk: Talk, *overrides: str, path: str | None = None) -> RunFolder:
    """A run in real time whose settings come from a file, as the command line starts it."""
    given = (*EAGER, *overrides)
    wanted = load(Path(path) if path else None, given)
    tape = synthesize(SyntheticSpec(hours=1, quotes_per_s=20, seed=4))
    launch = LaunchOptions(1.0, config=wall_run.settings_file(Path(path) if path else None), overrides=given)
    _session(lambda observer: wall_run.start(wanted, tape, launch, seeded=False, observers=[observer]), talk)
    return RunFolder.find("last")


def _reload(folder: RunFolder, config: str = "", **changes: Any) -> Reply:
    return send_command(folder.path, Request("reload", config=config, **changes))


def _changes(folder: RunFolder) -> list[SettingsChanged]:
    return [line.event for line in read(folder.journal) if isinstance(line.event, SettingsChanged)]


def _write(text: str, name: str = "config.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


@pytest.fixture
def place(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AUTOHEDGE__TRADING__MODE", raising=False)
    return workplace


def test_reload_applies_what_differs_and_its_record_replays(place: Path) -> None:
    messages = []

    def talk(folder: RunFolder) -> None:
        _write("[risk]\nmax_position_notional = 500\n[exits]\ntake_profit_bps = 12\n")
        messages.append(_reload(folder, actor="alice", reason="calm").message)
        messages.append(_reload(folder).message)
        _write("")
        messages.append(_reload(folder).message)

    folder = _run(talk)
    first, second = _changes(folder)
    assert first.changes == {"exits.take_profit_bps": 12.0, "risk.max_position_notional": "500"}
    assert (first.actor, first.reason, first.new_hash) == ("alice", "calm", second.old_hash)
    assert second.new_hash == first.old_hash  # the settings are again those of the start
    assert folder.settings(f"{first.new_hash}.json")["exits"]["take_profit_bps"] == 12.0
    changed = "settings changed: exits.take_profit_bps = 12.0 (next entry), risk.max_position_notional = 500"
    assert messages[:2] == [changed, NO_CHANGE] and "max_position_notional = 1000000" in messages[2]
    assert app.replay_engine(folder) == (None, True)
    assert not check_record(folder).damage and verify(folder).finished
    shown = [fact.value for fact in detail_facts(audit(folder, AuditFilter())) if fact.label == "Settings"]
    assert len(shown) == 2 and shown[0].endswith(f": settings changed by alice (calm): {changed[18:]}")


BROKEN = {
    "[risk]\nmax_order_notional = \n": r"config\.toml is not valid TOML: .*line 2",
    "[risk]\nmax_order_notional = -1\n": r"config\.toml: risk\.max_order_notional: .*got -1",
    "[risk]\nmax_order_notionl = 1\n": r"config\.toml: unknown setting risk\.max_order_notionl",
    '[symbol_overrides."BTC-USD"]\ntake_profit_bps = 3\n': "did you mean BTC/USD",
}


def test_reload_of_a_broken_file_names_its_place_and_keeps_the_settings(place: Path) -> None:
    def talk(folder: RunFolder) -> None:
        for text, named in BROKEN.items():
            _write(text)
            with pytest.raises(Misconfigured, match=named) as failed:
                _reload(folder)
            assert "the settings stay as they were" in str(failed.value) and "\n" not in str(failed.value)

    folder = _run(talk)
    assert _changes(folder) == [] and len(folder.files()) == 1


def test_reload_without_the_file_of_the_start_keeps_the_settings(place: Path) -> None:
    def talk(folder: RunFolder) -> None:
        Path("config.toml").unlink()
        with pytest.raises(
            Misconfigured, match=r"stay as they were: there is no settings file .*config\.toml; restore"
        ):
            _reload(folder)

    _write("[risk]\nmax_position_notional = 500\n")
    assert _changes(_run(talk)) == []


def test_reload_with_a_setting_that_needs_a_restart_is_refused(place: Path) -> None:
    def talk(folder: RunFolder) -> None:
        _write("[risk]\nmax_position_notional = 500\n[momentum]\nlookback = 3\n[account]\ninitial_cash = 5\n")
        with pytest.raises(Refused, match=r"momentum\.lookback, account\.initial_cash cannot change"):
            _reload(folder)

    folder = _run(talk)
    assert _changes(folder) == [] and len(folder.files()) == 1


def test_reload_reads_the_file_of_the_start_below_its_options(place: Path) -> None:
    _write("[sizing]\nmax_order_amount = 100\n", "own.toml")

    def talk(folder: RunFolder) -> None:
        _write("[sizing]\nmax_order_amount = 70\n[momentum]\nmin_edge_bps = 9\n", "own.toml")
        _reload(folder)
        _write("[sizing]\nmax_order_amount = 60\n", "other.toml")
        _reload(folder, str(Path("other.toml").absolute()))
        with pytest.raises(Misconfigured, match=r"there is no settings file .*none\.toml"):
            _reload(folder, "none.toml")

    folder = _run(talk, path="own.toml")
    changes = [change.changes for change in _changes(folder)]
    assert changes == [{"sizing.max_order_amount": "70"}, {"sizing.max_order_amount": "60"}]


def test_restarted_run_goes_on_with_the_changed_settings(place: Path) -> None:
    def talk(folder: RunFolder) -> None:
        _write("[risk]\nmax_position_notional = 5\n")
        _reload(folder)

    folder = _run(talk)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    stopped = next(n for n, line in enumerate(lines) if b'"operator_command"' in line)
    folder.journal.write_bytes(b"".join(lines[:stopped]))
    folder.results.unlink()
    messages = []

    def ask(folder: RunFolder) -> None:
        messages.append(_reload(folder).message)
        _write("[risk]\nmax_position_notional = 6\n")
        messages.append(_reload(folder).message)

    _session(lambda observer: restart(folder, [observer]), ask)
    assert messages == [NO_CHANGE, "settings changed: risk.max_position_notional = 6"]
    first, second = _changes(folder)
    assert first.new_hash == second.old_hash
    assert app.replay_engine(folder) == (None, True)


def test_missing_settings_file_is_damage_of_the_record(place: Path) -> None:
    def talk(folder: RunFolder) -> None:
        _write("[risk]\nmax_position_notional = 5\n")
        _reload(folder)

    folder = _run(talk)
    (change,) = _changes(folder)
    (folder.path / "files" / f"{change.new_hash}.json").unlink()
    with pytest.raises(Corrupt, match=change.new_hash):
        verify(folder)
    assert change.new_hash in check_record(folder).damage[0]


def test_reload_keeps_the_watchdogs_of_a_run_with_a_remote_venue(place: Path) -> None:
    launch = LaunchOptions(venue_port=1)
    resolved = wall_run.resolved_settings(launch, None)
    assert resolved == wall_run.with_watchdogs(load()) != load()
    assert resolved.risk.silent_feed_s == WATCH_S and resolved.risk.max_position_notional > Decimal(5)
