"""A user's strategy from the command line: exit codes, stdout alone for results, and its record."""

import json
import shutil
from pathlib import Path

import pytest

from autohedge import app
from autohedge.journal import RunFolder, read
from autohedge.journal.genesis import Genesis
from tests.process_harness import ProcessHarness

START_NS = 1_735_776_000 * 10**9
HEAD = "from autohedge.strategies import Kind, Signal, Strategy\n"
BUYER = "class Buyer(Strategy):\n    seen = 0\n    def on_quote(self, quote):\n        self.seen += 1\n"


@pytest.fixture
def place(tmp_path: Path) -> ProcessHarness:
    rows = "".join(f"{START_NS + n * 10**9},{100 + n % 3},{100.01 + n % 3}\n" for n in range(60))
    (tmp_path / "t.csv").write_text(f"ts_ns,bid,ask\n{rows}")
    return ProcessHarness(tmp_path, {"exits__take_profit_bps": 5000, "exits__stop_loss_bps": 5000})


def _strategy(place: ProcessHarness, body: str) -> tuple[str, ...]:
    (place.path / "buyer.py").write_text(HEAD + body)
    return ("run", "--tape", "T=t.csv", "--set", "strategy.name=buyer.py:Buyer")


def _folder(place: ProcessHarness) -> RunFolder:
    journal = place.journal()
    assert journal
    return RunFolder(journal.parent)


@pytest.mark.parametrize("speed", [(), ("--speed", "max")], ids=["tape", "clock"])
def test_sys_exit_while_trading_fails_the_run_and_names_positions(
    place: ProcessHarness, speed: tuple[str, ...]
) -> None:
    body = BUYER + "        if self.seen == 30: exit(0)\n        return Signal.BUY\n"
    done = place.call(*_strategy(place, body), "-q", *speed)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "called sys.exit(0) at row 29" in done.stderr and "buyer.py, line 6" in done.stderr
    folder = _folder(place)
    assert f"run {folder.id} is recorded up to there; open positions: 0.9999 T" in done.stderr
    assert folder.read_results() is None
    assert place.call("replay", folder.id).returncode == 0


def test_json_stays_alone_on_stdout_in_run_and_replay(place: ProcessHarness) -> None:
    args = _strategy(place, f"print('top')\n{BUYER}        print(self.seen)\n        return Signal.BUY\n")
    done = place.call(*args, "--json")
    assert json.loads(done.stdout)["buys"] == 1
    assert done.stderr.split()[:2] == ["top", "1"]
    again = place.call("replay", "last", "--json")
    assert json.loads(again.stdout)["same"] is True


def test_record_with_modules_replays_after_their_change_and_loss(place: ProcessHarness) -> None:
    (place.path / "rule.py").write_text(HEAD + "WANTED = Signal.BUY\n")
    args = _strategy(place, "from rule import WANTED\n" + BUYER + "        return WANTED\n")
    assert place.call(*args, "-q").returncode == 0
    (place.path / "rule.py").write_text("WANTED = None\n")
    assert place.call("replay", "last").returncode == 3
    assert place.call("replay", "last", "--trust").returncode == 0
    (place.path / "rule.py").unlink()
    (place.path / "buyer.py").unlink()
    moved = place.path / "moved"
    shutil.move(_folder(place).path, moved)
    assert place.call("replay", "moved", "--trust").returncode == 0
    genesis = Genesis.of(next(read(moved / "journal.jsonl")))
    stored = moved / "files" / genesis.strategy_modules["rule.py"]
    stored.write_text("WANTED = None\n")
    damaged = place.call("replay", "moved", "--trust")
    assert damaged.returncode == 1 and "was changed" in damaged.stderr


def test_genesis_of_an_older_record_has_no_modules(place: ProcessHarness) -> None:
    assert place.call("run", "--tape", "T=t.csv", "-q").returncode == 0
    line = next(read(_folder(place).journal))
    older = {key: value for key, value in (line.genesis or {}).items() if not key.startswith("strategy_")}
    genesis = Genesis.of(
        type(line)(**{name: getattr(line, name) for name in line.__struct_fields__} | {"genesis": older})
    )
    assert (genesis.strategy_module, genesis.strategy_modules) == (None, {})
    assert app.recorded_settings(_folder(place), genesis).strategy.name == "momentum"


def test_results_on_bars_state_that_exits_look_at_closes(place: ProcessHarness) -> None:
    rows = "".join(f"{START_NS + n * 60 * 10**9},100,101,99,100,5\n" for n in range(30))
    (place.path / "bars.csv").write_text(f"ts_ns,open,high,low,close,volume\n{rows}")
    args = ("run", "--tape", "T=bars.csv", "--set", "strategy.name=crossover")
    assert "Exits look at the closes of bars only" in place.call(*args).stdout
    assert json.loads(place.call(*args, "--json").stdout)["bar_exits"] == "close"
    quotes = place.call("run", "--tape", "T=t.csv", "--json")
    assert "bar_exits" not in json.loads(quotes.stdout)
