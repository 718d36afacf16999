"""Variables of the environment and `.env`: their names, their forms, and those that nothing reads."""

from pathlib import Path

import pytest

from autohedge.config import load, with_origins
from autohedge.core.errors import Misconfigured

pytestmark = pytest.mark.usefixtures("workplace")


def _refused(*overrides: str) -> str:
    """Returns the one-line error of wrong settings."""
    with pytest.raises(Misconfigured) as caught:
        load(None, overrides)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 300
    return text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AUTOHEDGE_CROSSOVER_FAST", "AUTOHEDGE__CROSSOVER__FAST"),
        ("AUTOHEDGE_EXITS__STOP_LOSS_BPS", "AUTOHEDGE__EXITS__STOP_LOSS_BPS"),
        ("Autohedge_Chatter_Level", "AUTOHEDGE__CHATTER_LEVEL"),
        ("AUTOHEDGE_FEE_BPS", "AUTOHEDGE__ACCOUNT__TAKER_BPS"),
        ("AUTOHEGDE__SEED", "AUTOHEDGE__SEED"),
        ("AUTO_HEDGE__SEED", "AUTOHEDGE__SEED"),
        ("AUTOHEDGE_LLM_KEY", "AUTOHEDGE_LLM_API_KEY"),
        ("AUTOHEDGE_REDIS_PASSWORT", "AUTOHEDGE_REDIS_PASSWORD"),
        ("AUTOHEDGE_CACHEDIR", "AUTOHEDGE_CACHE_DIR"),
        ("HFT_STOPLOSS_BPS", "HFT_STOP_LOSS_BPS"),
        ("hybrid_gate_refresh_quotes", "HYBRID_GATE_REFRESH_QUOTES"),
        ("STRATEGY_MODES", "STRATEGY_MODE"),
    ],
)
def test_unread_variable_names_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "7")
    assert _refused() == f"{name} is not read; did you mean {meant}?"
    monkeypatch.delenv(name)
    Path(".env").write_text(f"{name}=7\n")
    assert _refused() == f"{name} in .env is not read; did you mean {meant}?"


def test_variable_like_no_setting_is_refused_with_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOHEDGE_QQQ", "7")
    assert _refused() == "AUTOHEDGE_QQQ is not read; settings are AUTOHEDGE__SECTION__KEY"


@pytest.mark.parametrize(
    "name",
    [
        "AUTOHEDGE_LLM_API_KEY",
        "AUTOHEDGE_REDIS_PASSWORD",
        "AUTOHEDGE_CACHE_DIR",
        "AUTOHEDGE_GROUP_KEY",
        "OPENAI_API_BASE_URL",
        "TRADING_MODE",
        "MARKET_HISTORY",
    ],
)
def test_variable_of_another_purpose_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert load(None, ["llm.key=AUTOHEDGE_GROUP_KEY"]).seed == 0


def test_variable_of_the_process_in_dotenv_is_refused() -> None:
    Path(".env").write_text("AUTOHEDGE_CACHE_DIR=/tmp\n")
    assert _refused().startswith("AUTOHEDGE_CACHE_DIR in .env is read from the environment only")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "AUTOHEDGE__EXITS__STOP_LOS_BPS=1",
            "AUTOHEDGE__EXITS__STOP_LOS_BPS in .env: unknown setting exits.stop_los_bps; did you mean exits.",
        ),
        (
            "AUTOHEDGE__EXITS_STOP_LOSS_BPS=1",
            "AUTOHEDGE__EXITS_STOP_LOSS_BPS in .env: unknown setting exits_stop_loss_bps; did you mean exits.",
        ),
        ("AUTOHEDGE__SEED", "AUTOHEDGE__SEED in .env has no value; write AUTOHEDGE__SEED=value"),
        (
            "AUTOHEDGE__SYNTHETIC__SYMBOLS=[SOL/USD, 'XRP/USD']",
            'AUTOHEDGE__SYNTHETIC__SYMBOLS in .env: write a JSON list, ["SOL/USD","XRP/USD"]',
        ),
        (
            "AUTOHEDGE__STRATEGY__PARAMS=window=5",
            'AUTOHEDGE__STRATEGY__PARAMS in .env: write a JSON object, such as {"NAME": 5}',
        ),
        ("HFT_STOP_LOSS_BPS=few", "HFT_STOP_LOSS_BPS in .env: exits.stop_loss_bps: "),
        ("AUTOHEDGE__EXITS__STOP_LOSS_BPS=0", "AUTOHEDGE__EXITS__STOP_LOSS_BPS in .env: exits."),
        ("AUTOHEDGE__CROSSOVER__FAST=30", "AUTOHEDGE__CROSSOVER__FAST in .env: crossover: fast (30) must"),
        ("AUTOHEDGE__SEED: 5", ".env, line 1: cannot be parsed; write NAME=value"),
    ],
)
def test_wrong_variable_is_named_with_the_right_form(line: str, expected: str) -> None:
    Path(".env").write_text(f"{line}\n")
    assert _refused().startswith(expected)


@pytest.mark.parametrize("name", ["AUTOHEDGE__EXITS__STOP_LOS_BPS", "AUTOHEDGE__EXITS_STOP_LOSS_BPS"])
def test_unknown_setting_of_a_variable_names_the_variable_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert _refused().endswith("did you mean exits.stop_loss_bps? Write AUTOHEDGE__EXITS__STOP_LOSS_BPS")


def test_error_of_an_overridden_variable_names_the_stronger_source() -> None:
    Path(".env").write_text("AUTOHEDGE__EXITS__STOP_LOSS_BPS=10\n")
    assert _refused("exits.stop_loss_bps=0").startswith("exits.stop_loss_bps: ")


def test_variables_keep_the_case_of_symbols_only() -> None:
    lines = ("SYMBOL_OVERRIDES__SOL/USD__Lookback=3", "INSTRUMENTS__SOL/USD__LOT=2", "Strategy__Params__N=4")
    Path(".env").write_text("".join(f"AUTOHEDGE__{line}\n" for line in lines))
    made = load()
    assert made.for_symbol("SOL/USD").momentum.lookback == 3 and made.instrument("SOL/USD").lot == 2
    assert made.strategy.params == {"n": "4"}


def test_section_given_as_a_table_has_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOHEDGE__EXITS", '{"stop_loss_bps": 12}')
    assert load().exits.stop_loss_bps == 12
    shown = {row.key: row.origin for row in with_origins()}
    assert (shown["exits.stop_loss_bps"], shown["exits.take_profit_bps"]) == ("environment", "default")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_dotenv_with_a_byte_order_mark_is_read(encoding: str) -> None:
    Path(".env").write_text("AUTOHEDGE__SEED=6\r\n", encoding=encoding)
    assert load().seed == 6


@pytest.mark.parametrize(
    "value", ["[" * 60_000, '{"a":' + "[" * 500 + "]" * 500 + "}", '{"a":' + "9" * 5000 + "}"]
)
def test_deep_or_huge_value_of_a_variable_is_one_line(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AUTOHEDGE__STRATEGY__PARAMS", value)
    assert _refused().startswith("AUTOHEDGE__STRATEGY__PARAMS ")
