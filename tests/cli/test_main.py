"""The command line as its users meet it: what it prints, where, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
import pytest

from autohedge import __version__, cli
from autohedge.app import estimate_calls
from autohedge.cli.inspect import ENV_EXAMPLE
from autohedge.cli.run import FAULTS
from autohedge.core.abstentions import describe
from autohedge.core.reasons import Reason
from autohedge.exchanges.loopback.faults import WIRE_FAULTS
from autohedge.llm import transcript
from autohedge.market import Kind, Reads, Stream, tape_of
from autohedge.prompts import builtin_names
from tests.process_harness import ProcessHarness, wait
from tests.run_harness import quotes_tape, settings

ROOT = Path(__file__).parents[2]
HOUR = ("--set", "synthetic.hours=0.5")
TIGHT = (
    *("--set", "momentum.min_edge_bps=0.5", "--set", "exits.take_profit_bps=3"),
    *("--set", "exits.stop_loss_bps=2", "--set", "account.taker_bps=2"),
)


class Done(NamedTuple):
    """How one call ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


Call = Callable[..., Done]


@pytest.fixture
def call(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in an empty working directory."""

    def run(*args: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["autohedge", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_a_run_without_a_tape_trades_a_synthetic_day_and_sums_up(call: Call) -> None:
    done = call("run", *HOUR)
    assert (done.code, done.err) == (0, "")
    for text in (
        "synthetic market",
        "no real money",
        "equity",
        "net P&L",
        "Reason code of every quote",
        "Next:",
    ):
        assert text in done.out


def test_the_summary_counts_trailing_stops_where_there_are_any(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    trail = ("--set", "exits.trailing_activation_bps=1", "--set", "exits.trailing_distance_bps=1")
    done = call("run", *HOUR, *TIGHT, *trail)
    assert re.search(r"[1-9]\d* trailing-stop", done.out)
    assert "closed by its trailing stop" in done.out
    assert "trailing-stop" not in call("run", *HOUR, *TIGHT).out


def test_the_recorded_tape_gives_the_promised_figures(call: Call, shared: Path) -> None:
    tape = shared / "data/binance/usdm/BTCUSDT_20240808_quotes.parquet"
    result = call("run", "--tape", str(tape), "--mode", "hft", *TIGHT, "--json").json
    assert (result["buys"], result["take_profits"], result["stop_losses"]) == (35, 13, 21)
    assert result["equity"] == "9998.32088120148"
    assert result["symbols"] == ["BTCUSDT"]
    assert set(result["codes"]) == {reason.label for reason in Reason}


def test_run_json_is_alone_on_stdout_and_equals_results_file(call: Call) -> None:
    done = call("run", *HOUR, "--json")
    recorded = json.loads(Path("runs", done.json["run"], "results.json").read_text())
    assert recorded == done.json
    assert done.err == ""


def test_run_quiet_prints_no_output(call: Call) -> None:
    assert call("run", *HOUR, "--quiet") == (0, "", "")


def test_a_run_verifies_and_replays_by_id_and_by_path(call: Call) -> None:
    run = call("run", *HOUR, "--json").json["run"]
    for name in (run, f"runs/{run}"):
        verified, replayed = call("journal", "verify", name), call("replay", name)
        assert (verified.code, replayed.code) == (0, 0)
        assert "chain unbroken" in verified.out
        assert "every output reproduced" in replayed.out
    whole = {"run": run, "same": True, "difference": None, "deliberations": None}
    assert call("replay", run, "--json").json == whole


def test_runs_holds_run_folders_only(call: Call) -> None:
    run = call("run", *HOUR, "--json").json["run"]
    assert [path.name for path in Path("runs").iterdir()] == [run]
    assert [path.name for path in Path().iterdir()] == ["runs"]
    inside = {path.name for path in Path("runs", run).iterdir()}
    assert inside == {"files", "journal.jsonl", "results.json", "summary.json"}


def test_verify_compares_a_kept_head_and_prints_it_whole(call: Call) -> None:
    run = call("run", *HOUR, "--json").json
    head = run["journal_head"]
    assert head in call("journal", "verify", run["run"]).out
    assert call("journal", "verify", run["run"], "--head", head, "-q").code == 0
    other = call("journal", "verify", run["run"], "--head", "0" * 64)
    assert other.code == 1 and head in other.err and len(other.err.splitlines()) == 1
    assert call("journal", "verify", run["run"], "--head", "short").code == 2


def test_verify_as_json_has_each_part_with_its_damage(call: Call) -> None:
    run = call("run", *HOUR, "--json").json["run"]
    results = Path("runs", run, "results.json")
    results.write_text(results.read_text().replace("{", '{"grade": 1,', 1))
    found = call("journal", "verify", run, "--json")
    assert found.code == 1 and not found.json["intact"]
    assert "grade was added" in found.json["results"]["damage"]
    assert [found.json[part]["damage"] for part in ("journal", "transcript", "files", "tape")] == [None] * 4


def test_damage_is_one_line_and_exit_code_1(call: Call) -> None:
    run = call("run", *HOUR, "--json").json["run"]
    journal = Path("runs", run, "journal.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"pos":', b'"qos":', 1))
    for verb in (("journal", "verify"), ("replay",)):
        done = call(*verb, run)
        assert done.code == 1
        assert done.err.startswith("autohedge: ") and "damaged" in done.err
        assert done.err.count("\n") == 1


def test_a_seed_names_the_market_and_the_ids(call: Call) -> None:
    one, same, other = (call("run", *HOUR, "--seed", seed, "--json").json for seed in ("7", "7", "8"))
    assert one["journal_head"] == same["journal_head"] != other["journal_head"]
    assert one["codes"] != other["codes"]


def test_two_tapes_trade_in_one_account(call: Call) -> None:
    assert call("data", "synth", "tapes", "--set", "synthetic.hours=0.2").code == 0
    tapes = sorted(str(path) for path in Path("tapes").iterdir())
    done = call("run", "--tape", tapes[0], "--tape", f"MINE={tapes[1]}", "--json")
    assert done.json["symbols"] == ["BTC-USD", "MINE"]
    assert done.json["quotes"] == sum(len(pl.read_parquet(path)) for path in tapes[:2])


def test_data_check_reports_symbol_rows_and_bad_quotes(call: Call) -> None:
    call("data", "synth", "tapes", "--set", "synthetic.hours=0.2", "--set", "synthetic.bad_quote_rate=0.1")
    done = call("data", "check", "tapes/BTC-USD_quotes.parquet")
    assert done.code == 0
    assert "BTC-USD" in done.out and "crossed" in done.out
    stream = call("data", "check", "tapes/BTC-USD_quotes.parquet", "--json").json["streams"][0]
    assert stream["rows"] == len(pl.read_parquet("tapes/BTC-USD_quotes.parquet"))


def _tape(**columns: Any) -> str:
    frame = {"ts_ns": [1_700_000_000_000_000_000 + i for i in range(3)], "bid": [1.0] * 3, "ask": [1.1] * 3}
    pl.DataFrame({k: v for k, v in (frame | columns).items() if v is not None}).write_parquet("T.parquet")
    return "T.parquet"


def _empty_tape() -> str:
    schema = {"ts_ns": pl.Int64, "bid": pl.Float64, "ask": pl.Float64}
    pl.DataFrame(schema=schema).write_parquet("T.parquet")
    return "T.parquet"


WRONG: list[tuple[Callable[[], tuple[str, ...]], str]] = [
    (lambda: ("run", "--set", "momentum.min_edge_bsp=3"), "did you mean momentum.min_edge_bps?"),
    (lambda: ("run", "--set", "momentum.lookback=0"), "greater than or equal to 1"),
    (lambda: ("run", "--set", "exits.stop_loss_bps=much"), "valid number"),
    (lambda: ("run", "--set", "nonsense"), "write section.key=value"),
    (lambda: ("run", "--set", "strategy.name=momentun"), "did you mean momentum?"),
    (lambda: ("run", "--mode", "fast"), "trading.mode"),
    (lambda: ("run", "--config", "absent.toml"), "there is no settings file absent.toml"),
    (lambda: ("run", "--tape", "absent.parquet"), "absent.parquet"),
    (lambda: ("run", "--tape", _tape(ask=None)), "ask"),
    (lambda: ("run", "--tape", _tape(ts_ns=[1_700_000_000_000 + i for i in range(3)])), "milliseconds"),
    (lambda: ("run", "--tape", _tape(ts_ns=[1_700_000_000_000_000_000 - i for i in range(3)])), "decreases"),
    (lambda: ("run", "--tape", _tape(bid=["a", "b", "c"])), "bid"),
    (lambda: ("run", "--tape", _empty_tape()), "has no rows"),
    (lambda: ("run", "--tape", _tape(), "--tape", _tape()), "one symbol"),
    (lambda: ("run", "--tpae", "x"), "--tape"),
    (lambda: ("rnu",), "run"),
    (lambda: ("replay", "absent"), "there is no run absent"),
    (lambda: ("replay",), "RUN"),
    (lambda: ("journal", "verify", "absent"), "there is no run absent"),
    (lambda: ("data", "check", "absent.csv"), "absent.csv"),
    (lambda: ("run", "--speed", "fast"), "write real, max, or a number"),
    (lambda: ("run", "--speed", "0"), "from 0.001"),
    (lambda: ("run", "--speed", "5", "--venue", "7001"), "exclude each other"),
    (lambda: ("run", "--venue", "example.org:7001"), "write a port of this machine"),
    (lambda: ("run", "--venue", "7001", "--seed", "1"), "--seed promises a reproducible record"),
    (lambda: ("run", "--set", "chatter_level=loud"), "chatter_level"),
    (lambda: ("run", "--set", "journal.durability=always"), "'process' or 'power'"),
    (lambda: ("run", "--set", "sizing.min_order_amount=500"), "exceeds max_order_amount"),
    (lambda: ("run", "--set", "crossover.fast=50"), "must be less than slow"),
    (lambda: ("venue", "--speed", "max"), "two processes need a clock"),
    (lambda: ("venue", "--port", "70000"), "port"),
    (lambda: ("restart", "absent"), "there is no run absent"),
    (lambda: ("halt", "absent"), "there is no run absent"),
]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--live",), "--live without trading.live = true"),
        (("--set", "trading.live=true"), "trading.live = true without --live"),
        (("--live", "--set", "trading.live=true"), "there is no real venue yet"),
    ],
)
def test_run_with_real_money_is_refused_with_code_3(call: Call, args: tuple[str, ...], message: str) -> None:
    done = call("run", *args)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert message in done.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("verb", ["halt", "resume", "flatten", "status"])
def test_operator_command_to_a_finished_run_is_refused(call: Call, verb: str) -> None:
    run = call("run", *HOUR, "--json").json["run"]
    done = call(verb, run)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"autohedge: run {run} is not running on a clock now: no process listens\n"


def test_run_with_absent_venue_is_one_line_and_leaves_no_run(call: Call) -> None:
    done = call("run", *HOUR, "--venue", "1")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "no venue answers at 127.0.0.1:1; start one: autohedge venue" in done.err
    assert not list(Path().glob("runs/*"))


def test_run_verbose_logs_and_quiet_is_empty(call: Call) -> None:
    output = call("run", *HOUR, "-v").err
    assert "[HFT] Debounce" in output
    assert call("run", *HOUR, "-q") == Done(0, "", "")


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_use_is_one_line_with_code_2_and_writes_no_file(call: Call, number: int) -> None:
    make, message = WRONG[number]
    args = make()
    before = sorted(Path().iterdir())
    done = call(*args)
    assert done.code == 2
    assert message in done.err
    assert done.err.startswith("autohedge: ")
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert sorted(Path().iterdir()) == before


def test_settings_come_from_the_working_directory(call: Call) -> None:
    Path("config.toml").write_text('[synthetic]\nsymbols = ["ONE"]\nhours = 0.1\n')
    assert call("run", "--json").json["symbols"] == ["ONE"]


def test_help_and_version_need_no_heavy_import() -> None:
    code = (
        "import sys; sys.argv = ['autohedge', '--help']\n"
        "from autohedge import cli\n"
        "try: cli.main()\n"
        "except SystemExit as e: print('exit', e.code)\n"
        "heavy = {'numba', 'numpy', 'polars', 'pydantic', 'langchain', 'langgraph', 'openai'}\n"
        "print('heavy', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "exit 0" in done.stdout and "heavy []" in done.stdout


@pytest.mark.parametrize("how", ["--version", "version"])
def test_the_version_is_printed(call: Call, how: str) -> None:
    assert call(how) == (0, f"autohedge {__version__}\n", "")


def test_config_show_names_the_origin_of_each_value(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOHEDGE__TRADING__MODE")
    Path("config.toml").write_text("[momentum]\nlookback = 7\n")
    Path(".env").write_text("AUTOHEDGE__RISK__MAX_ORDER_NOTIONAL=500\n")
    monkeypatch.setenv("AUTOHEDGE__EXITS__STOP_LOSS_BPS", "40")
    shown = call("config", "show", "--set", "seed=3", "--json").json
    assert shown.pop("unused") == []
    origins = {key: row["origin"] for key, row in shown.items() if row["origin"] != "default"}
    assert origins == {
        "momentum.lookback": "config.toml",
        "risk.max_order_notional": ".env",
        "exits.stop_loss_bps": "environment",
        "seed": "--set",
    }
    assert (shown["momentum.lookback"]["value"], shown["seed"]["value"]) == (7, 3)
    assert "stop_loss_bps" in call("config", "show").out


def test_config_check_judges_without_running(call: Call) -> None:
    assert call("config", "check").code == 0
    assert call("config", "check", "--set", "momentum.lookback=0").code == 2
    assert not Path("runs").exists()


def test_runs_finished_or_not_are_listed_and_shown(call: Call) -> None:
    assert call("runs", "list", "--json").json == {"runs": []}
    run = call("run", *HOUR, "--json").json["run"]
    assert call("runs", "list", "--json").json == {"runs": [{"run": run, "finished": True, "study": None}]}
    assert run in call("runs", "list").out
    assert "Reason code of every quote" in call("runs", "show", run).out
    Path("runs", run, "results.json").unlink()
    assert "unfinished" in call("runs", "list").out
    assert "did not finish" in call("runs", "show", run).err


def test_transcript_of_a_run_is_printed_in_whole_lines(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "SEGMENT_BYTES", 20_000)
    run = call("run", "--mode", "hybrid", "--set", "synthetic.hours=0.3", "--json").json["run"]
    path = Path("runs", run, "transcript.jsonl")
    lines = [json.loads(line) for line in call("runs", "transcript", run).out.splitlines()]
    assert [msgspec.convert(line, transcript.TranscriptEntry) for line in lines] == list(
        transcript.read(path)
    )
    assert len(lines) > len(path.read_bytes().splitlines())
    system, user = next(line["request"]["messages"] for line in lines if line["request"])
    assert "Most of the time" in system["content"] and "Time | Bid | BidSz" in user["content"]
    other = call("run", *HOUR, "--json").json["run"]
    refused = call("runs", "transcript", other)
    assert (
        refused.code == 2
        and refused.err == f"autohedge: run {other} has no transcript: no agent decided in it\n"
    )


@pytest.mark.parametrize("module", ["autohedge", "autohedge.graph"])
def test_modules_are_entry_points_of_the_same_command_line(workplace: Path, module: str) -> None:
    root = ROOT
    env = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-m", module, "run", *HOUR, "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["quotes"] > 0


def test_a_packed_run_replays_without_its_tape_and_in_another_place(call: Call) -> None:
    call("data", "synth", "tapes", "--set", "synthetic.hours=0.2")
    tape = Path("tapes/BTC-USD_quotes.parquet")
    run = call("run", "--tape", str(tape), "--json").json["run"]
    tape.rename("elsewhere.parquet")
    assert call("replay", run).code == 2
    Path("elsewhere.parquet").rename(tape)
    assert "1 tape file copied" in call("runs", "pack", run).out
    tape.unlink()
    Path("runs", run).rename("moved")
    assert call("replay", "moved").code == 0


def test_a_run_exports_the_reports_of_the_earlier_bot(call: Call) -> None:
    results = call("run", "--set", "synthetic.hours=8", "--json").json
    assert call("runs", "export", results["run"], "--to", "out").code == 0
    summary = json.loads(Path("out/trade_summary.json").read_text())
    assert (summary["buys"], summary["sells"]) == (results["buys"], results["sells"])
    assert summary["filled"] == len(results["fills"]) > 0
    assert summary["open_positions"] == results["open_positions"]
    lines = [json.loads(line) for line in Path("out/trades.jsonl").read_text().splitlines()]
    assert sum(line["status"] == "filled" for line in lines) == summary["filled"]
    assert json.loads(Path("out/trade_stats.json").read_text())["total_closed_trades"] == str(
        summary["sells"]
    )


@pytest.mark.parametrize(
    "setting",
    ["momentum.warmup_count=99999999999999999999", "execution.cancel_after_s=1e300", "crossover.bar_s=1e-12"],
)
def test_values_beyond_any_use_are_refused_before_a_run(call: Call, setting: str) -> None:
    done = call("run", "--set", setting)
    assert done.code == 2
    assert done.err.count("\n") == 1


def test_prices_beyond_exact_arithmetic_end_in_one_line(call: Call) -> None:
    rows = "".join(f"{1_700_000_000_000_000_000 + i},{1 + i}e-300,{1 + i}e-300\n" for i in range(9))
    Path("tiny.csv").write_text("ts_ns,bid,ask\n" + rows)
    sets = ("momentum.warmup_count=0", "momentum.evaluate_every_quotes=1")
    done = call("run", "--tape", "tiny.csv", *(part for each in sets for part in ("--set", each)))
    assert done.code == 1
    assert "cannot be computed exactly" in done.err
    assert done.err.count("\n") == 1


def test_interrupted_run_prints_how_to_continue(workplace: Path) -> None:
    Path("slow.py").write_text(
        "from pathlib import Path\n"
        "from autohedge.strategies import Strategy\n"
        "class Slow(Strategy):\n"
        "    def on_quote(self, quote):\n"
        "        Path('begun').touch()\n"
    )
    running = ProcessHarness(workplace, {}).start("run", "--set", "strategy.name=slow.py:Slow")
    while not Path("begun").exists():
        assert running.poll() is None
        wait(running, 0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 1
    assert (
        err
        == "autohedge: interrupted; verify or replay what was recorded, or continue: autohedge restart RUN\n"
    )


def test_the_doctor_ends_with_1_when_something_is_bad(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("doctor").code == 0
    Path("file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "file/below")
    done = call("doctor")
    assert done.code == 1
    assert "BAD  compiled code" in done.out
    assert not call("doctor", "--json").json["findings"][1]["ok"]


def test_init_writes_settings_and_prompts_and_overwrites_none(call: Call) -> None:
    assert call("init").code == 0
    assert {path.name for path in Path().iterdir()} == {"config.toml", ".env.example", "prompts"}
    assert {path.stem for path in Path("prompts").iterdir()} == set(builtin_names())
    assert call("config", "check").code == call("prompts", "check").code == 0
    Path("config.toml").write_text("seed = 5\n")
    Path("prompts/director.md").write_text("mine")
    assert "left as it is" in call("init").out
    assert Path("prompts/director.md").read_text() == "mine"
    assert Path("config.toml").read_text() == "seed = 5\n"


def test_secrets_example_equals_repository_file() -> None:
    assert (ROOT / ".env.example").read_text() == ENV_EXAMPLE


def test_names_of_earlier_systems_are_understood_or_listed_as_unused(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOHEDGE__TRADING__MODE")
    Path(".env").write_text("HFT_MIN_EDGE_BPS=3\nCHATTER_LEVEL=low\nMAX_ORDER_AMOUNT=50\nEXCHANGE=kraken\n")
    monkeypatch.setenv("HFT_STOP_LOSS_BPS", "7")
    monkeypatch.setenv("AUTOHEDGE__SIZING__MAX_ORDER_AMOUNT", "60")
    shown = call("config", "show", "--json").json
    chosen = {key: row for key, row in shown.items() if key != "unused" and row["origin"] != "default"}
    assert chosen == {
        "chatter_level": {"value": "low", "origin": ".env: CHATTER_LEVEL", "applies": "restart"},
        "momentum.min_edge_bps": {"value": 3.0, "origin": ".env: HFT_MIN_EDGE_BPS", "applies": "live"},
        "exits.stop_loss_bps": {
            "value": 7.0,
            "origin": "environment: HFT_STOP_LOSS_BPS",
            "applies": "next entry",
        },
        "sizing.max_order_amount": {"value": "60", "origin": "environment", "applies": "next entry"},
    }
    assert shown["unused"] == ["EXCHANGE"]
    assert "EXCHANGE" in call("config", "show").out
    assert call("run", "--mode", "hft", "--set", "synthetic.hours=0.1", "--json").code == 0


def test_run_without_settings_is_hybrid_with_rules_and_reports_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOHEDGE__TRADING__MODE")
    done = call("run", "--set", "synthetic.hours=2")
    assert done.code == 0 and all(line.startswith("[PROGRESS]") for line in done.err.splitlines())
    for text in (
        "hybrid",
        "rules: a formula, no LLM",
        "answered by the formula",
        "cache hits",
        "gate openings",
        "signals at a",
    ):
        assert text in done.out
    (run,) = (Path(path) for path in Path("runs").iterdir())
    deliberations = json.loads((run / "results.json").read_bytes())["deliberations"]
    assert (
        deliberations["opened"]
        and deliberations["closed"]
        and deliberations["verdicts"]["trade"]
        and deliberations["verdicts"]["no_trade"]
    )


def test_run_in_llm_mode_sums_up_every_question_and_quote(call: Call) -> None:
    done = call("run", "--mode", "llm", "--set", "synthetic.hours=0.3")
    assert done.code == 0
    (run,) = (Path(path) for path in Path("runs").iterdir())
    results = json.loads((run / "results.json").read_bytes())
    deliberations = results["deliberations"]
    assert (results["mode"], results["strategy"]) == ("llm", "agents")
    journal = (run / "journal.jsonl").read_text()
    assert (
        deliberations["proposals"]["entry"]
        == journal.count('"side":"buy","purpose":"enter"')
        >= results["buys"]
        > 0
    )
    ended = sum(deliberations["verdicts"].values()) + sum(deliberations["abstentions"].values())
    assert (
        ended == sum(deliberations["proposals"].values())
        and deliberations["asked"] - ended <= 3 + deliberations["lessons"]
    )
    words = " ".join(done.out.split())
    for code, count in deliberations["proposals"].items():
        assert f"{code} {count:,} {describe(code)}" in words
    assert sum(results["codes"].values()) == results["quotes"] and results["codes"]["deliberating"]
    assert "run --set trading.mode=llm --set agents.director.min_confidence_pct=70" in done.out


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({"trading__mode": "hybrid", "hybrid__gate_refresh_quotes": 10, "hybrid__min_refresh_s": 0}, 10),
        ({"trading__mode": "hybrid", "hybrid__gate_refresh_quotes": 10, "hybrid__min_refresh_s": 33}, 3),
        ({"trading__mode": "hybrid", "hybrid__gate_refresh_quotes": 50, "agents__director__samples": 3}, 6),
        ({"trading__mode": "llm", "llm__min_interval_s": 33}, 12),
        ({"trading__mode": "llm", "llm__min_interval_s": 33, "agents__director__samples": 3}, 18),
    ],
)
def test_estimate_calls_follows_mode_interval_and_samples(changes: dict[str, Any], calls: int) -> None:
    tape = quotes_tape([(10**18 + second * 10**9, 1.0, 2.0) for second in range(100)])
    assert estimate_calls(settings(**changes), tape) == calls
    prints: dict[str, Any] = {"ts": tape.rows.ts + 1, "price": [1.5] * 100, "size": [1.0] * 100}
    streams = [*tape.streams, Stream.of("X", prints, kind=Kind.TRADES)]
    mixed = tape_of(streams, Reads(frozenset({Kind.QUOTES, Kind.TRADES})))
    assert len(mixed) == 200
    assert estimate_calls(settings(**changes), mixed) == calls


def test_a_wrong_value_under_an_old_name_is_an_error(call: Call) -> None:
    Path(".env").write_text("HFT_MIN_EDGE_BPS=much\n")
    done = call("config", "check")
    assert done.code == 2
    assert "momentum.min_edge_bps" in done.err


def test_wire_faults_are_in_the_help_and_a_wrong_name_gets_a_hint(call: Call) -> None:
    assert all(fault in FAULTS for fault in WIRE_FAULTS)
    assert "disconnect" in call("venue", "--help").out
    wrong = call("venue", "--faults", "drop,disconect")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "did you mean disconnect?" in wrong.err


def test_patience_without_a_remote_venue_is_refused(call: Call) -> None:
    refused = call("run", "--patience", "5")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--patience is for a --venue" in refused.err
