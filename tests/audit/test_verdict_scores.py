"""Tests `autohedge agents score`: verdicts of recorded runs, their outcomes on the tape, and what is refused."""

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from autohedge import app, cli
from autohedge.audit.verdict_json import scores_as_dict
from autohedge.audit.verdict_scores import score_runs
from autohedge.audit.verdicts import ExitHistory, first_named, kind_of
from autohedge.config import load
from autohedge.core.events import Decision, Proposal, SettingsChanged
from autohedge.core.units import NS_PER_MINUTE, NS_PER_S
from autohedge.journal import RunFolder
from autohedge.market import SyntheticSpec, parse_source, synthesize
from autohedge.prompts.library import builtin_path
from tests.audit.run_factory import agent_answer, recorded, scripted, team, yes
from tests.run_harness import settings

Call = Callable[..., tuple[int, str, str]]
ONE = 'synthetic.symbols=["BTC/USD"]'


@pytest.fixture
def call(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Returns a function that runs `autohedge agents score`, 80 columns wide: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["autohedge", "agents", "score", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def _scores(*folders: RunFolder) -> dict[str, Any]:
    return scores_as_dict(score_runs(folders))


def _quotes(folder: RunFolder, symbol: str) -> list[tuple[int, float, float]]:
    """Returns the quotes of a synthetic run."""
    genesis = json.loads(folder.journal.read_text().partition("\n")[0])["genesis"]
    recipe = next(each["recipe"] for each in genesis["tape"] if each["symbol"] == symbol)
    columns = synthesize(SyntheticSpec(**recipe | {"symbols": (symbol,)})).streams[0].columns
    return list(zip(*(columns[name].tolist() for name in ("ts", "bid", "ask")), strict=True))


def _by_hand(quotes: list[tuple[int, float, float]], verdict: dict[str, Any]) -> tuple[str, int]:
    """Returns the outcome of a long and the time of its entry, by a plain loop."""
    (entry_ns, bid, ask), *later = [row for row in quotes if row[0] > verdict["at_ns"]]
    mid, end_ns = bid + (ask - bid) / 2, entry_ns + verdict["horizon_minutes"] * NS_PER_MINUTE
    for ts, sold, _ in later:
        if ts > end_ns:
            return "neither", entry_ns
        if sold >= mid * (1 + verdict["target_bps"] / 1e4):
            return "target", entry_ns
        if sold <= mid * (1 - verdict["stop_bps"] / 1e4):
            return "stop", entry_ns
    return "open", entry_ns


def test_outcomes_of_a_hybrid_run_are_those_of_a_plain_loop(run: RunFolder) -> None:
    found = _scores(run)
    entries = [each for each in found["verdicts"] if each["outcome"]]
    assert {each["outcome"] for each in entries} >= {"target", "stop"}
    assert {(each["target_bps"], each["stop_bps"]) for each in entries} == {(3.0, 3.0)}
    for symbol in {each["symbol"] for each in entries}:
        quotes = _quotes(run, symbol)
        for each in entries:
            if each["symbol"] == symbol:
                assert (each["outcome"], each["entry_ns"]) == _by_hand(quotes, each)
    lines = map(json.loads, run.journal.read_text().splitlines()[1:])
    questions = [each["event"] for each in lines if each["event"]["type"] == "deliberation_requested"]
    assert found["runs"][0]["questions"] == sum(each["kind"] == "gate" for each in questions) < len(questions)
    hits = sum(each["outcome"] == "target" for each in entries)
    decided = sum(each["outcome"] != "open" for each in entries)
    assert (found["entries"]["hits"], found["entries"]["n"]) == (hits, decided)


def test_base_rate_is_that_of_entries_at_the_times_of_all_questions(workplace: Path) -> None:
    said = [json.loads(yes()), json.loads(yes()) | {"decision": "no_trade"}]
    exits = ("exits.take_profit_bps=4", "exits.stop_loss_bps=4", "hybrid.no_trade_cooldown_quotes=5")
    folder = scripted(workplace / "said.jsonl", said, ONE, *exits, "hybrid.gate_refresh_quotes=40")
    found, quotes = _scores(folder), _quotes(folder, "BTC/USD")
    terms = {"target_bps": 4.0, "stop_bps": 4.0, "horizon_minutes": 5}
    outcomes = [_by_hand(quotes, terms | {"at_ns": each["at_ns"]})[0] for each in found["verdicts"]]
    assert set(outcomes) == {"target", "stop", "neither", "open"}
    decided = len(outcomes) - outcomes.count("open")
    assert found["entries"]["base_rate"] == pytest.approx(outcomes.count("target") / decided)
    assert found["missed"]["no_trade_long"]["base_rate"] == pytest.approx(found["entries"]["base_rate"])


def test_llm_mode_scores_proposals_with_their_own_exits(workplace: Path) -> None:
    named = [
        {"agent": name, "answer": agent_answer(name)} for name in ("director", "quant", "risk", "execution")
    ]
    wide = {"exits__stop_loss_bps": "30", "exits__take_profit_bps": "60", "llm__min_interval_s": "20"}
    found = _scores(recorded(*team(*named, **wide)))
    proposed = [each for each in found["verdicts"] if each["kind"] == "long"]
    assert proposed and {(each["target_bps"], each["stop_bps"]) for each in proposed} == {(40.0, 20.0)}
    assert found["counts"]["kinds"]["held"] and found["costs"]["calls"] > len(proposed)
    assert {each["horizon_minutes"] for each in proposed} == {5}


def test_a_refusal_of_another_agent_counts_as_missed(workplace: Path) -> None:
    refusing = agent_answer("quant", thesis="refuted", technical_score_pct=10)
    named = [
        {"agent": "director", "answer": agent_answer("director")},
        {"agent": "quant", "answer": refusing},
    ]
    found = _scores(recorded(*team(*named)))
    kinds = found["counts"]["kinds"]
    assert (
        kinds["refused"]
        == found["counts"]["verdicts"]
        == sum(found["missed"]["refused"]["outcomes"].values())
    )
    assert found["entries"]["rate"] is None and found["entries"]["undefined"]["rate"] == "no_outcomes"
    assert found["sentence"].startswith("Too few verdicts: 0 ")


def test_low_confidence_is_scored_and_no_trade_counts_as_missed(workplace: Path) -> None:
    unsure = json.loads(yes()) | {"confidence_pct": 30}
    against = json.loads(yes()) | {"decision": "no_trade"}
    found = _scores(scripted(workplace / "said.jsonl", [unsure, against], ONE))
    assert (
        found["entries"]["bands"][0]["n"] + found["entries"]["outcomes"]["open"]
        == found["counts"]["kinds"]["long"]
    )
    missed = found["missed"]
    assert sum(missed["no_trade_long"]["outcomes"].values()) == found["counts"]["kinds"]["no_trade"] > 0
    assert sum(missed["no_trade_short"]["outcomes"].values()) == 0
    assert found["position"]["first"] == found["counts"]["kinds"]["long"]


def test_cached_verdicts_count_once_per_question(workplace: Path) -> None:
    folder = scripted(
        workplace / "said.jsonl",
        [json.loads(yes())],
        ONE,
        "hybrid.cache_verdicts=true",
        "hybrid.gate_refresh_quotes=60",
    )
    counts = _scores(folder)["counts"]
    assert counts["cached"] > 0 and counts["without_answer"] == 0
    asked = _scores(folder)["runs"][0]["questions"]
    assert counts["verdicts"] + sum(counts["without_verdict"].values()) == asked


def test_samples_report_their_agreement(workplace: Path) -> None:
    said = [json.loads(yes()), json.loads(yes()), json.loads(yes()) | {"decision": "no_trade"}]
    folder = scripted(workplace / "said.jsonl", said, ONE, "agents.director.samples=3")
    agreement = _scores(folder)["agreement"]
    assert (
        agreement["questions"] > 0 and agreement["mean_pct"] == 66.0 and agreement["unanimous_share"] == 0.0
    )


def test_json_has_every_key_and_no_figure_that_json_lacks(call: Call, run: RunFolder) -> None:
    code, out, err = call(run.path, "--json")
    found = json.loads(out, parse_constant=pytest.fail)
    assert (code, err) == (0, "")
    assert list(found) == [
        "runs", "counts", "entries", "missed", "position", "agreement", "costs", "sentence", "verdicts",
    ]  # fmt: skip
    assert set(found["entries"]) == {
        "outcomes", "n", "hits", "rate", "interval_95", "undefined", "base_rate", "apart", "return_bps", "bands", "forecast",
    }  # fmt: skip
    assert [band["least_pct"] for band in found["entries"]["bands"]] == [0, 50, 60, 70, 80, 90]
    assert found["agreement"]["undefined"]["mean_pct"] == "single_samples"
    assert "cost_usd" not in found["costs"] and found["costs"]["undefined"]["prompt_tokens"] == "not_counted"
    assert all(_defined(each) for each in _objects(found))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yields each object of a JSON value that has codes of undefined figures."""
    if isinstance(value, dict):
        if "undefined" in value:
            yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from _objects(each)


def _defined(value: dict[str, Any]) -> bool:
    """Returns whether exactly the figures that are null have a code."""
    return {name for name, each in value.items() if each is None} == set(value["undefined"])


def test_terminal_shows_bands_and_sentence_within_80_columns(
    call: Call, run: RunFolder, by_rules: RunFolder
) -> None:
    code, out, err = call(run.path, by_rules.path)
    assert (code, err) == (0, "") and max(map(len, out.splitlines())) <= 80
    for fragment in ("90 to 100 %", "no_trade, as a long", "base rate", "verdicts with an outcome"):
        assert fragment in " ".join(out.split())


def test_several_runs_are_pooled_and_a_run_named_twice_counts_once(
    run: RunFolder, by_rules: RunFolder
) -> None:
    alone, other, both = _scores(run), _scores(by_rules), _scores(run, by_rules, run)
    assert both["entries"]["n"] == alone["entries"]["n"] + other["entries"]["n"]
    assert len(both["runs"]) == 2 and both["verdicts"] == alone["verdicts"] + other["verdicts"]


def test_cost_is_that_of_the_results_where_they_have_one(run: RunFolder, workplace: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(run.path, workplace / "copy")))
    results = json.loads(copy.results.read_bytes())
    results["agents"]["calls"]["cost_usd"] = 1.5
    copy.results.write_text(json.dumps(results))
    found = _scores(copy)["costs"]
    assert found["cost_usd"] == 1.5
    assert found["per_verdict"]["cost_usd"] == pytest.approx(1.5 / _scores(copy)["counts"]["verdicts"])
    assert "cost_usd" not in _scores(copy, run)["costs"]


def test_run_without_verdicts_is_refused_in_one_line(call: Call, workplace: Path) -> None:
    silent = recorded('trading.mode="hft"', "synthetic.hours=0.05")
    failing = scripted(workplace / "said.jsonl", ["I would rather not say."], ONE, "synthetic.hours=0.1")
    for folder, fragment in ((silent, "hft mode"), (failing, "has an answer of the Director")):
        code, out, err = call(folder.id)
        assert (code, out, err.count("\n")) == (2, "", 1) and fragment in err


def test_run_whose_tape_is_gone_is_refused_in_one_line(call: Call, workplace: Path) -> None:
    steps = np.arange(2000)
    bid = 100 + np.sin(steps / 40)
    frame = {"ts_ns": 10**18 + steps * NS_PER_S, "bid": bid, "ask": bid + 0.01}
    pl.DataFrame(frame).write_parquet("X.parquet")
    wanted = load(None, ['trading.mode="hybrid"', "hybrid.min_refresh_s=1"])
    folder = app.run(wanted, app.tape_for(wanted, [parse_source("X/USD=X.parquet")])).run
    assert call(folder)[0] == 0
    Path("X.parquet").unlink()
    code, out, err = call(folder)
    assert (code, out, err.count("\n")) == (2, "", 1) and "tape of the run is missing" in err


def _decision(
    verdict: Any, code: str = "", direction: Any = "long", proposal: Proposal | None = None
) -> Decision:
    return Decision(
        at_ns=2, number=1, kind="gate", symbol="X", asked_ns=1, verdict=verdict, code=code, direction=direction, proposal=proposal,
    )  # fmt: skip


def test_kind_of_each_decision_follows_from_what_the_director_answered() -> None:
    both, long = ("long", "short"), ("long",)
    proposal = Proposal(50, 40, 20, 0, "ioc")
    cases: list[tuple[Decision, str, tuple[str, ...], str | None]] = [
        (_decision("trade"), "hybrid", long, "long"),
        (_decision("trade", direction="short"), "hybrid", both, "short"),
        (_decision("trade", direction="short"), "hybrid", long, "not_allowed"),
        (_decision("trade", direction="exit"), "hybrid", long, "exit"),
        (_decision("no_trade"), "hybrid", long, "no_trade"),
        (_decision("no_trade", "low_confidence"), "llm", long, "long"),
        (_decision("no_trade", "refuted"), "llm", long, "refused"),
        (_decision("trade", proposal=proposal), "llm", long, "long"),
        (_decision("trade"), "llm", long, "held"),
        (_decision("keep", "in_position"), "llm", long, "held"),
        (_decision("keep", "no_edge", ""), "hybrid", long, None),
        (_decision("abstain", "timeout", ""), "hybrid", long, None),
    ]
    for decision, mode, directions, expected in cases:
        assert kind_of(decision, mode, directions) == expected


def test_exits_are_those_in_force_when_the_verdict_took_effect() -> None:
    first = settings(**{"exits__stop_loss_bps": 20, 'symbol_overrides."B".stop_loss_bps': 7})
    changed = SettingsChanged(100, "a", "b", {"exits.stop_loss_bps": 9.0, "exits.take_profit_bps": 11.0})
    history = ExitHistory(first, [changed])
    before = first.exits.take_profit_bps
    assert [history.at("A", at_ns) for at_ns in (1, 99, 100)] == [(before, 20), (before, 20), (11, 9)]
    assert [history.at("B", at_ns) for at_ns in (99, 100)] == [(before, 7), (11, 7)]


def test_first_named_decision_is_the_first_in_quotation_marks() -> None:
    assert first_named(builtin_path("director").read_text()) == "trade"
    assert first_named("Do not trade: answer `no_trade` or `trade`.") == "no_trade"
    assert first_named('To trade, answer "trade" or nothing.') == ""


def test_verdict_without_an_outcome_has_no_return(run: RunFolder) -> None:
    for each in _scores(run)["verdicts"]:
        assert (each["outcome"] in {None, "open"}) is (each["return_bps"] is None)
        assert each["return_bps"] is None or math.isfinite(each["return_bps"])
