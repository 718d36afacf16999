"""`autohedge ask`: who was asked what, what was made of it, and what the engine would do; nothing is recorded."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autohedge import app, cli
from autohedge.audit.terminal import LABEL_CHARS
from autohedge.config import load
from autohedge.config.secrets import KEY_NAMES
from autohedge.core.clock import format_utc
from autohedge.core.events import DeliberationRequested, SubmitOrder
from autohedge.journal import RunFolder
from autohedge.journal import read as read_journal
from autohedge.llm.transcript import read as read_transcript
from autohedge.prompts import builtin_path
from tests.audit.run_factory import HOSTILE, agent_answer, team
from tests.llm.imitation_server import completion, llama_cpp
from tests.llm.imitation_server import json_reply as reply

Call = Callable[..., tuple[int, str, str]]
SHORT = ("synthetic.hours=0.1",)
COUNTED = {"prompt_tokens": 5000, "completion_tokens": 7, "total_tokens": 5007}
ENTERS = [agent_answer(agent) for agent in ("director", "quant", "risk", "execution")]


@pytest.fixture
def call(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `autohedge ask` in an empty working directory, on a short market: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(workplace / "cache"))
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)

    def ask(*args: str, settings: list[str] | tuple[str, ...] = ()) -> tuple[int, str, str]:
        overrides = [part for each in (*SHORT, *settings) for part in ("--set", each)]
        monkeypatch.setattr(sys, "argv", ["autohedge", "ask", *args, *overrides])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return ask


def labeled_text(out: str, label: str) -> str:
    """What stands beside a label, in one line."""
    indent = " " * LABEL_CHARS
    found = re.search(rf"^{label:<{LABEL_CHARS}}(.*(?:\n{indent}.*)*)", out, re.MULTILINE)
    assert found, (label, out[-900:])
    return " ".join(found[1].split())


def test_ask_with_rules_repeats_its_bytes_and_records_no_run(call: Call, workplace: Path) -> None:
    first, second = call(), call()
    assert first == second and (first[0], first[2]) == (0, "")
    assert labeled_text(first[1], "answers").startswith("rules, a fixed formula: no LLM is called")
    assert labeled_text(first[1], "record") == "dry run: nothing is recorded"
    assert call("--json") == call("--json")
    assert not (workplace / "runs").exists()


def test_ask_shows_prompt_answer_and_outcome_of_every_agent(call: Call) -> None:
    code, out, err = call(settings=team("no json", *ENTERS))
    assert (code, err) == (0, "")
    titles = re.findall("^═══ (.*) ═══$", out, re.MULTILINE)
    assert titles == ["Director", "Director, repair", "Quant", "Risk", "Execution"]
    for text in ("You watch one market", "You test a claim", "You guard the money", "You place one order"):
        assert out.count(text) == 1
    assert "packaged risk.md, version 1" in out and "The claim:\ndirection long, confidence 80 %" in out
    assert "That cannot be used: there is no JSON object in the answer" in out
    assert re.findall(r"^request +(\w+)", out, re.MULTILINE) == ["no_json", "repaired"] + ["accepted"] * 3
    assert labeled_text(out, "figures") == "every figure in the thesis is in the data"
    assert labeled_text(out, "proposal").startswith(
        "50 % of the usual size, take-profit +40 bps, stop-loss -20 bps"
    )
    assert labeled_text(out, "decision") == "trade long 80 %"
    assert labeled_text(out, "engine") == "entry: an order to enter was sent"
    assert re.fullmatch(
        r"buy 0\.\d+ at [\d,.]+, ioc · order [0-9a-f]{32} take-profit [\d,.]+, stop-loss [\d,.]+",
        labeled_text(out, "order"),
    )


def test_ask_order_equals_that_of_a_run_with_the_same_decision(call: Call) -> None:
    """A run whose answers take no time, up to its first order: what was asked, and what was ordered."""
    overrides = [*SHORT, 'trading.mode="llm"', "llm.virtual_latency_s=0", "seed=3"]
    settings = load(None, overrides)
    run = RunFolder.find(app.run(settings, app.tape_for(settings, [])).run)
    questions: dict[str, DeliberationRequested] = {}
    for line in read_journal(run.journal):
        if isinstance(line.event, DeliberationRequested):
            questions[line.event.symbol] = line.event
        if isinstance(line.event, SubmitOrder):
            break
    order = line.event
    assert isinstance(order, SubmitOrder)
    question = questions[order.symbol]
    calls = [each for each in read_transcript(run.transcript) if each.deliberation == question.number]
    code, out, _ = call("--symbol", order.symbol, "--at", str(question.at_ns), "--json", settings=overrides)
    found = json.loads(out)
    sent = {"side": "BUY"} | found["sent"]
    assert (code, found["resolution"]) == (0, "entry")
    assert sent["symbol"] == order.symbol and sent["side"].upper() == str(order.side).upper()
    assert (sent["at_ns"], sent["quantity"], sent["limit"]) == (
        order.at_ns,
        str(order.quantity),
        str(order.limit),
    )
    assert (sent["take_profit"], sent["stop_loss"]) == (order.take_profit, order.stop_loss)
    assert sent["time_in_force"].upper() == str(order.time_in_force).upper()
    messages = [[each["content"] for each in one["request"]["messages"]] for one in found["calls"]]
    assert messages == [[each.content for each in one.request.messages] for one in calls if one.request]
    assert len(messages) == 4


def test_ask_refusal_of_any_agent_ends_it_with_the_reason(call: Call) -> None:
    director, quant, risk, _ = ENTERS
    for answers, settings, decision, refused in (
        ([director | {"decision": "no_trade"}], (), "no_trade long 80 %", ""),
        (
            [director | {"confidence_pct": 10}],
            ["agents.director.min_confidence_pct=50"],
            "no_trade long 10 % low_confidence: the Director is less sure",
            "Director refused: confidence 10 % is below the minimum",
        ),
        (
            [director, quant | {"thesis": "refuted"}],
            (),
            "no_trade long 80 % refuted: the Quant's figures",
            "Quant refused: thesis refuted, technical score 70 %, volatility pass",
        ),
        (
            [director, quant, risk | {"decision": "reject", "reason": "Too dear."}],
            (),
            "no_trade long 80 % rejected: Risk rejects it",
            "Risk refused: Too dear.",
        ),
    ):
        code, out, _ = call(settings=[*team(*answers), *settings])
        assert code == 0 and labeled_text(out, "decision").startswith(decision)
        assert labeled_text(out, "order") == "none"
        assert not refused or labeled_text(out, "refused") == refused


def test_ask_engine_refusal_shows_code_and_description(call: Call) -> None:
    code, out, _ = call(settings=team(*ENTERS, risk__max_exposure_notional="20"))
    assert code == 0 and labeled_text(out, "decision") == "trade long 80 %"
    assert labeled_text(out, "engine") == "max_exposure: above risk.max_exposure_notional"
    assert labeled_text(out, "order") == "none"


def test_ask_unsupported_figures_and_differing_samples_are_shown(call: Call) -> None:
    wild, other = (
        agent_answer("director", thesis="RSI 99.7, up 4321 bps."),
        agent_answer("director", decision="no_trade"),
    )
    samples = [wild, other, wild, *ENTERS[1:]]
    code, out, _ = call(
        settings=[*team(*samples), "agents.director.samples=3", "agents.director.min_confidence_pct=0"]
    )
    assert code == 0 and labeled_text(out, "figures").startswith("not in the data: ")
    assert "4321" in labeled_text(out, "figures") and "99.7" in labeled_text(out, "figures")
    assert labeled_text(out, "confidence") == "80 % as stated, 0 % after the checks"
    assert labeled_text(out, "agreement") == "66 % of the Director's samples"
    assert out.count("═══ Director, further sample ═══") == 2 and out.count("You watch one market") == 1


def test_ask_far_key_levels_and_lossless_rules_are_shown(call: Call) -> None:
    loose = agent_answer("director", confidence_pct="80%", decision="Trade", key_levels=[1.5, 95_000])
    code, out, _ = call(settings=team(loose, *ENTERS[1:]))
    assert code == 0 and labeled_text(out, "key levels") == "more than 50 % from the price: 1.5"
    assert labeled_text(out, "figures") == "every figure in the thesis is in the data"
    assert labeled_text(out, "decision") == "trade long 80 %"
    assert "── parsed (direct+literal_spelling+percent_sign) ──" in out
    assert '"confidence_pct": 80,' in out and '"decision": "trade",' in out


def test_ask_assumed_position_can_be_sold_and_not_increased(call: Call) -> None:
    leaves = agent_answer("director", direction="exit")
    code, out, _ = call("--held", "0.01@90000", settings=team(leaves))
    assert code == 0 and "position: 0.01 bought at 90000" in out and "cash: 10000.00" in out
    assert labeled_text(out, "engine") == "exit_signal: the position is closed"
    assert re.fullmatch("sell 0.01 at market, ioc · order [0-9a-f]{32}", labeled_text(out, "order"))
    out = call("--held", "0.01@90000", settings=team(ENTERS[0]))[1]
    assert labeled_text(out, "engine").startswith("in_position: ") and labeled_text(out, "order") == "none"


def test_ask_in_hybrid_mode_shows_the_gate_after_the_director(call: Call) -> None:
    opens, stays = ENTERS[0], agent_answer("director", decision="no_trade")
    code, out, _ = call("--mode", "hybrid", settings=team(opens))
    assert code == 0 and labeled_text(out, "gate").startswith("open (scripted) at ")
    assert re.findall("^═══ (.*) ═══$", out, re.MULTILINE) == ["Director"]
    assert labeled_text(call("--mode", "hybrid", settings=team(stays))[1], "gate").startswith(
        "cooldown (no_trade) at "
    )


def test_ask_abstention_exits_1_and_names_the_failed_agent(call: Call) -> None:
    code, out, err = call(settings=team(ENTERS[0], {"failure": "server_error"}, llm__retries="0"))
    assert (code, err) == (1, "")
    assert labeled_text(out, "decision").startswith("abstain server_error: the model's server failed")
    assert (
        labeled_text(out, "failed").startswith("no answer from Quant: ")
        and labeled_text(out, "order") == "none"
    )


def test_ask_model_server_is_used_and_named(call: Call) -> None:
    answers = iter([json.dumps(each) for each in ENTERS])

    def chat(request: Any) -> Any:
        if "trading program" not in request.body["messages"][0]["content"]:
            return measured(request)
        return reply(completion(next(answers), usage=COUNTED))

    with llama_cpp() as server:
        measured = server.pages["/v1/chat/completions"]
        server.pages["/v1/chat/completions"] = chat
        model = ["llm.provider=openai", f"llm.base_url={server.base_url}", 'synthetic.symbols=["BTC/USD"]']
        code, out, err = call(settings=model)
        assert (code, err) == (0, "") and labeled_text(out, "engine").startswith("entry: ")
        assert "smollm2" in labeled_text(out, "answers") and "5,000 input + 7 output tokens" in out
    code, out, err = call(settings=model)
    assert (code, out, err.count("\n")) == (1, "", 1) and "choose llm.provider=rules" in err


def test_hostile_answers_are_printed_and_not_obeyed(call: Call) -> None:
    out = call(settings=team(HOSTILE, agent_answer("director", thesis=HOSTILE, decision="no_trade")))[1]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out) and "\\x1b[2J" in out


def test_ask_at_a_time_between_rows_uses_exactly_that_time(call: Call) -> None:
    settings = load(None, [*SHORT])
    at_ns = int(app.tape_for(settings, []).rows.ts[900]) + 7
    found = json.loads(call("--at", str(at_ns), "--json")[1])
    assert (found["question"]["at_ns"], found["snapshot"]["at_ns"]) == (at_ns, at_ns)
    assert found["why"] == "requested by the user" and found["recorded"] is False
    assert f"{format_utc(at_ns)} UTC" in call("--at", str(at_ns))[1].splitlines()[0]


def test_ask_bypassed_question_makes_no_call_and_shows_why(call: Call) -> None:
    code, out, _ = call(settings=["risk.max_exposure_notional=1", "sizing.min_order_amount=10"])
    assert code == 0 and labeled_text(out, "decision").startswith("keep limits: no order could have passed")
    assert (
        labeled_text(out, "no call").endswith("passed the limits; choose another --at") and "═══" not in out
    )


def test_wrong_use_is_one_line_with_its_cure(call: Call) -> None:
    for args, message in (
        (("--symbol", "DOGE"), "the tape has no DOGE, only BTC/USD"),
        (("--at", "noon"), "RFC 3339"),
        (("--at", "2020-01-01T00:00:00Z"), "no valid quote up to this time; choose a later --at"),
        (("--at", "2030-01-01T00:00:00Z"), "the tape ends at 2025-01-02"),
        (("--mode", "hft"), "hft mode uses no agents"),
        (("--held", "much@0"), "write QTY@PRICE"),
        (("--held", "1@NaN"), "write QTY@PRICE"),
        (("--tape", "absent.parquet"), "absent.parquet"),
    ):
        code, out, err = call(*args)
        assert (code, out, err.count("\n")) == (2, "", 1) and message in err
    Path("prompts").mkdir()
    text = builtin_path("quant").read_text()
    Path("prompts/quant.md").write_text(text.replace("{table}", "{tabel}"))
    line = 1 + text.split("\n").index("{table}")
    code, out, err = call()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"autohedge: prompts/quant.md, line {line}: there is no field {{tabel}}")


def test_ask_uses_the_prompt_of_the_working_directory(call: Call) -> None:
    Path("prompts").mkdir()
    text = builtin_path("director").read_text()
    Path("prompts/director.md").write_text(text.replace("You watch one market", "You guard one pond"))
    out = call()[1]
    assert "You guard one pond" in out and "prompts/director.md, version 1" in out
