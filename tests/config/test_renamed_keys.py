"""Settings under their old names: each source may use either name, but not both."""

from pathlib import Path

import pytest

from autohedge.config import Settings, load, old_names, with_origins
from autohedge.core.errors import Misconfigured

pytestmark = pytest.mark.usefixtures("workplace")

OLD_FILE = Path(__file__).parent / "config_of_0_3.toml"
FEE_VARIABLE = "AUTOHEDGE__SIMULATED__FEE_BPS"


def _account(settings: Settings) -> tuple[float, float, float]:
    account = settings.account
    return float(account.initial_cash), float(account.maker_bps), float(account.taker_bps)


def _refused(*overrides: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        load(overrides=overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_file_of_the_version_before_is_read_unchanged() -> None:
    made = load(OLD_FILE)
    assert _account(made) == (10_000, 10, 10)
    assert made.trading.direction == "long" and made.account.kind == "cash"
    # These have what is a comment in the shipped file.
    rest = {"execution", "agents", "instruments", "symbol_overrides", "trading"}
    assert made.model_dump(exclude=rest) == load().model_dump(exclude=rest)


def test_old_names_set_the_account() -> None:
    Path("config.toml").write_text("[simulated]\ninitial_cash = 500\nfee_bps = 2.5\n")
    assert _account(load()) == (500, 2.5, 2.5)


@pytest.mark.parametrize("new", ["account.maker_bps", "account.taker_bps"])
def test_old_and_new_name_in_one_file_are_refused(new: str) -> None:
    Path("config.toml").write_text(f"{new} = 2\nsimulated.fee_bps = 2\n")
    expected = "simulated.fee_bps is given under its new name"
    assert _refused() == f"config.toml: {expected} {new} too; remove simulated.fee_bps"


def test_old_and_new_name_in_overrides_are_refused() -> None:
    assert _refused("simulated.initial_cash=1", "account.initial_cash=1").startswith(
        "--set: simulated.initial_cash is given under its new name account.initial_cash too"
    )


def test_old_and_new_name_in_variables_of_one_source_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FEE_VARIABLE, "2")
    Path(".env").write_text("AUTOHEDGE__ACCOUNT__TAKER_BPS=3\n")
    assert _account(load())[1:] == (2, 2)
    monkeypatch.setenv("AUTOHEDGE__ACCOUNT", '{"taker_bps": 3}')
    assert "environment: simulated.fee_bps is given under its new name account.taker_bps" in _refused()


def test_stronger_source_wins_under_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.toml").write_text("[account]\nmaker_bps = 1\ntaker_bps = 2\n")
    assert _account(load(overrides=["simulated.fee_bps=7"]))[1:] == (7, 7)
    monkeypatch.setenv(FEE_VARIABLE, "8")
    assert _account(load(overrides=["account.taker_bps=9"]))[1:] == (8, 9)
    Path("config.toml").write_text("[simulated]\nfee_bps = 1\n")
    assert _account(load(overrides=["account.maker_bps=3"]))[1:] == (3, 8)


def test_section_in_a_variable_may_use_old_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOHEDGE__SIMULATED", '{"fee_bps": 3, "partial_fills": true}')
    made = load()
    assert _account(made)[1:] == (3, 3) and made.simulated.partial_fills


def test_origin_has_the_old_name_that_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.toml").write_text("[simulated]\ninitial_cash = 500\n")
    monkeypatch.setenv(FEE_VARIABLE, "8")
    shown = {row.key: row.origin for row in with_origins()}
    assert shown["account.initial_cash"] == "config.toml: simulated.initial_cash"
    assert shown["account.maker_bps"] == shown["account.taker_bps"] == f"environment: {FEE_VARIABLE}"
    assert not any(key.startswith(("simulated.initial", "simulated.fee_bps")) for key in shown)


def test_old_names_are_listed_with_the_new_ones() -> None:
    Path("config.toml").write_text("[simulated]\nfee_bps = 1\norder_latency_ms = 3\n")
    rates = "account.maker_bps and account.taker_bps"
    assert old_names(overrides=["simulated.initial_cash=1"]) == [
        f"config.toml: simulated.fee_bps is now {rates}",
        "--set: simulated.initial_cash is now account.initial_cash",
    ]


@pytest.mark.parametrize("value", ["-1", "'much'", "[1]"])
def test_wrong_value_is_reported_under_both_names(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.toml").write_text(f"[simulated]\nfee_bps = {value}\n")
    assert _refused().startswith("simulated.fee_bps: account.maker_bps: ")
    monkeypatch.setenv(FEE_VARIABLE, value)
    assert _refused().startswith(f"{FEE_VARIABLE}: account.maker_bps: ")


@pytest.mark.parametrize("table", ["account = 5\nsimulated.fee_bps = 3", "simulated = 5"])
def test_section_that_is_no_table_is_refused(table: str) -> None:
    Path("config.toml").write_text(table)
    assert table.partition(" ")[0] in _refused()
