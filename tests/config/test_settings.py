"""Settings: their sources, which source wins, and the errors for wrong ones."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge.config import (
    Settings,
    from_plain,
    load,
    load_secrets,
    merge,
    parse_override,
    shipped_file,
    to_plain,
    unused_names,
    with_origins,
)
from autohedge.config.secrets import KEY_NAMES
from autohedge.config.settings import ANSWER_SETTINGS
from autohedge.core.errors import Misconfigured
from autohedge.core.instruments import Instrument

pytestmark = pytest.mark.usefixtures("workplace")


def _refused(*overrides: str, path: Path | None = None) -> str:
    """Returns the one-line error of a wrong setting."""
    with pytest.raises(Misconfigured) as caught:
        load(path, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_every_default_stands_in_the_shipped_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOHEDGE__TRADING__MODE")
    shipped = tomllib.loads(shipped_file().read_text(encoding="utf-8"))
    values = load().model_dump(exclude_none=True)
    unset: dict[str, Any] = {"models": {}, "instruments": {}, "symbol_overrides": {}}
    values["synthetic"]["symbols"] = list(values["synthetic"]["symbols"])
    assert values == {**_as_given(values, shipped), **unset}


def _as_given(values: dict[str, Any], shipped: dict[str, Any]) -> dict[str, Any]:
    """Returns the file's values, exact where the settings are: TOML reads 2.0 as a float."""
    given = {}
    for name, value in shipped.items():
        both = isinstance(value, dict) and isinstance(values[name], dict)
        exact = isinstance(values[name], Decimal)
        given[name] = _as_given(values[name], value) if both else Decimal(str(value)) if exact else value
    return given


def test_sources_override_each_other_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookback(*overrides: str) -> int:
        return load(overrides=overrides).momentum.lookback

    assert lookback() == 10
    Path("config.toml").write_text("[momentum]\nlookback = 11\n")
    assert lookback() == 11
    Path(".env").write_text("AUTOHEDGE__MOMENTUM__LOOKBACK=12\n")
    assert lookback() == 12
    monkeypatch.setenv("AUTOHEDGE__MOMENTUM__LOOKBACK", "13")
    assert lookback() == 13
    assert lookback("momentum.lookback=14", "momentum.lookback=15") == 15
    assert load(overrides=["momentum.lookback=15"]).momentum.warmup_count == 50


def test_a_named_file_replaces_the_one_in_the_working_directory() -> None:
    Path("config.toml").write_text("seed = 1\n[momentum]\nlookback = 11\n")
    Path("other.toml").write_text("[momentum]\nlookback = 12\n")
    chosen = load(Path("other.toml"))
    assert (chosen.momentum.lookback, chosen.seed) == (12, 0)


def test_the_environment_reaches_every_kind_of_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {
        "SEED": "7",
        "MOMENTUM__USE_VWAP_FILTER": "true",
        "ACCOUNT__TAKER_BPS": "2.5",
        "SYNTHETIC__SYMBOLS": '["A/USD", "B/USD"]',
        "SYMBOL_OVERRIDES": '{"A/USD": {"lookback": 3}}',
    }.items():
        monkeypatch.setenv(f"AUTOHEDGE__{key}", value)
    made = load()
    assert (made.seed, made.momentum.use_vwap_filter) == (7, True)
    assert made.account.taker_bps == Decimal("2.5")
    assert made.synthetic.symbols == ("A/USD", "B/USD")
    assert made.for_symbol("A/USD").momentum.lookback == 3


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MOMENTUM__LOKBACK", "3", "unknown setting momentum.lokback; did you mean momentum.lookback?"),
        ("MOMENTUM__LOOKBACK", "0", "momentum.lookback"),
        ("SYNTHETIC__SYMBOLS", "A/USD", "synthetic"),
        ("MOMENTM__LOOKBACK", "3", "momentm"),
        ("SED", "3", "sed"),
    ],
)
def test_a_wrong_variable_of_the_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"AUTOHEDGE__{key}", value)
    assert message in _refused().lower()


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("sed", "seed"),
        ("momentm.lookback", "momentum"),
        ("trading.mod", "trading.mode"),
        ("strategy.nme", "strategy.name"),
        ("momentum.lokback", "momentum.lookback"),
        ("crossover.fats", "crossover.fast"),
        ("exits.take_profit_bp", "exits.take_profit_bps"),
        ("sizing.min_order_amout", "sizing.min_order_amount"),
        ("execution.time_in_forc", "execution.time_in_force"),
        ("risk.stale_after", "risk.stale_after_ms"),
        ("simulated.fee_bp", "account.taker_bps"),
        ("synthetic.hour", "synthetic.hours"),
    ],
)
def test_an_unknown_key_of_any_section_names_the_one_that_was_meant(wrong: str, meant: str) -> None:
    unknown = wrong if meant.count(".") else wrong.partition(".")[0]
    message = f"unknown setting {unknown}; did you mean {meant}?"
    assert _refused(f"{wrong}=1") == message
    Path("config.toml").write_text(f"{wrong} = 1\n")
    assert _refused() == message


@pytest.mark.parametrize(
    ("wrong", "named", "meant"),
    [
        ("Exits.stop_loss_bps", "Exits", "exits"),
        ("EXITS.stop_loss_bps", "EXITS", "exits"),
        ("Seed", "Seed", "seed"),
        ("exits.Stop_Loss_Bps", "exits.Stop_Loss_Bps", "exits.stop_loss_bps"),
        ("stop_loss_bps", "stop_loss_bps", "exits.stop_loss_bps"),
        ("risk.stop_loss_bps", "risk.stop_loss_bps", "exits.stop_loss_bps"),
        ("agents.Quant.model", "agents.Quant", "agents.quant"),
        ("instruments.A.Tick", "instruments.A.Tick", "instruments.A.tick"),
    ],
)
def test_a_key_of_another_case_or_section_names_the_full_key(wrong: str, named: str, meant: str) -> None:
    message = f"unknown setting {named}; did you mean {meant}?"
    assert _refused(f"{wrong}=1") == message
    Path("config.toml").write_text(f"{wrong} = 1\n")
    assert _refused() == message


def test_a_section_of_another_case_in_a_file_is_refused() -> None:
    Path("config.toml").write_text("[SIZING]\nmax_order_amount = 50\n")
    assert _refused() == "unknown setting SIZING; did you mean sizing?"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_settings_file_with_a_byte_order_mark_is_read(encoding: str) -> None:
    Path("config.toml").write_text("# Preis in €\r\nseed = 8\r\n", encoding=encoding)
    assert load().seed == 8


def test_a_settings_file_in_another_encoding_is_named_with_the_cure() -> None:
    Path("config.toml").write_text("seed = 8  # für Tests\n", encoding="latin-1")
    assert _refused().startswith("cannot read config.toml: line 1 is not in UTF-8, but perhaps in Latin-1")


@pytest.mark.parametrize(
    "text",
    [
        "[exits]\nstop_loss_bps = " + "[" * 4000,
        "[exits]\nstop_loss_bps = " + "[" * 40 + "]" * 40,
        "[exits]\nstop_loss_bps = " + "9" * 5000,
        "seed = 0x" + "f" * 4500,
        ".".join("a" * 4000) + " = 1",
        "[strategy]\nparams = " + "{ a = " * 300 + "1" + " }" * 300,
    ],
)
def test_deep_or_huge_values_of_a_file_are_one_line(text: str) -> None:
    Path("config.toml").write_text(text)
    message = _refused()
    assert message.startswith("config.toml ") and len(message) < 100


def test_values_in_messages_are_short_and_printable() -> None:
    assert len(_refused("trading.mode=" + "m" * 3000)) < 200
    assert len(_refused("m" * 3000 + "=1")) < 200
    Path("config.toml").write_text('"\\u001b[2Jx" = 1\n')
    assert _refused().isprintable()


def test_an_unknown_key_like_no_other_is_named_without_a_guess() -> None:
    assert _refused("xyzzy=1") == "unknown setting xyzzy"


@pytest.mark.parametrize(
    "wrong",
    [
        "seed=-1", "seed=1.5", "seed=9223372036854775808", "trading.mode=slow", "strategy.name=1",
        "momentum.lookback=0", "momentum.lookback=1024", "momentum.evaluate_every_quotes=0",
        "momentum.min_edge_bps=inf", "momentum.min_edge_bps=nan", "momentum.max_spread_bps=-1",
        "momentum.warmup_count=-1", "momentum.use_vwap_filter=perhaps", "momentum.min_volume_ratio=-0.1",
        "crossover.fast=0", "crossover.slow=1024", "crossover.bar_s=0", "exits.take_profit_bps=0",
        "exits.stop_loss_bps=-1", "exits.trailing_activation_bps=-1", "exits.trailing_activation_bps=inf",
        "exits.trailing_distance_bps=-1", "exits.trailing_distance_bps=10000",
        "exits.trailing_distance_bps=nan",
        "sizing.target_balance_pct=0", "sizing.target_balance_pct=100.1",
        "sizing.min_order_amount=-1", "sizing.max_order_amount=inf", "execution.time_in_force=day",
        "execution.cancel_after_s=0", "execution.aggression_bps=-1", "execution.cooldown_ms=-1",
        "execution.min_order_interval_ms=nan", "risk.price_band_bps=0", "risk.price_band_bps=nan",
        "risk.max_daily_loss_pct=101", "risk.max_orders_per_minute=0", "risk.stale_after_ms=0",
        "risk.min_order_quantity=-1", "account.initial_cash=0", "account.taker_bps=10000",
        "account.maker_bps=-1", "simulated.order_latency_ms=3600001", "simulated.latency_jitter_ms=-1",
        "synthetic.symbols=[]", "synthetic.hours=0", "synthetic.quotes_per_s=10001",
        "synthetic.bad_quote_rate=1.1", "momentum=5", "instruments=5",
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named_with_what_was_given(wrong: str) -> None:
    key, _, value = wrong.partition("=")
    message = _refused(wrong)
    assert message.startswith(f"{key}: ") and "(and" not in message
    assert value.strip("[]") in message.replace("Decimal", "")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("crossover.fast=30", "crossover: fast (30) must be less than slow (30)"),
        (
            "exits.trailing_activation_bps=40",
            "exits: trailing_activation_bps (40.0) needs a trailing_distance_bps above 0",
        ),
        (
            'symbol_overrides."X".trailing_activation_bps=40',
            'symbol_overrides."X": trailing_activation_bps (40.0) needs a trailing_distance_bps above 0',
        ),
        ("sizing.min_order_amount=101", "sizing: min_order_amount (101) exceeds max_order_amount (100)"),
    ],
)
def test_two_values_that_do_not_fit_each_other_are_named_together(wrong: str, message: str) -> None:
    assert _refused(wrong) == message


def test_several_mistakes_are_reported_as_one_and_a_count() -> None:
    assert _refused("momentum.lookback=0", "sed=1", "exits.stop_loss_bps=0").endswith("(and 2 more)")


def test_settings_never_change_once_they_are_made() -> None:
    made = load()
    sections: list[tuple[Any, str]] = [(made, "seed"), (made.momentum, "lookback")]
    for section, key in sections:
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, key, 1)


def test_a_file_that_was_named_but_is_not_there_is_an_error() -> None:
    assert _refused(path=Path("gone.toml")).startswith("there is no settings file gone.toml;")


def test_broken_settings_file_is_named_with_the_reason() -> None:
    Path("config.toml").write_text("[momentum\nlookback = 3\n")
    assert _refused().startswith("config.toml is not valid TOML: ")
    Path("config.toml").write_bytes(b"seed = \xff")
    assert _refused().startswith("cannot read config.toml: ")
    Path("folder.toml").mkdir()
    assert _refused(path=Path("folder.toml")).startswith("cannot read folder.toml: ")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("seed=5", {"seed": 5}),
        ("momentum.min_edge_bps=1.5", {"momentum": {"min_edge_bps": 1.5}}),
        ("strategy.name=crossover", {"strategy": {"name": "crossover"}}),
        ("strategy.name=my_file.py:Mine", {"strategy": {"name": "my_file.py:Mine"}}),
        ('strategy.name="a=b"', {"strategy": {"name": "a=b"}}),
        ("strategy.name=C:\\new\\mine.py:Mine", {"strategy": {"name": "C:\\new\\mine.py:Mine"}}),
        ("momentum.use_vwap_filter=true", {"momentum": {"use_vwap_filter": True}}),
        ('synthetic.symbols=["A", "B"]', {"synthetic": {"symbols": ["A", "B"]}}),
        ('instruments."BTC/USD".lot=0.5', {"instruments": {"BTC/USD": {"lot": 0.5}}}),
        ("seed = 5", {"seed": 5}),
    ],
)
def test_override_is_toml_and_an_unquoted_value_is_text(text: str, parsed: dict[str, Any]) -> None:
    assert parse_override(text) == parsed


@pytest.mark.parametrize("text", ["seed", "=5", " =5", "a b=5", "seed='5'6", ""])
def test_override_that_cannot_be_parsed_names_the_option(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"^--set "):
        parse_override(text)


def test_later_layers_lie_over_earlier_ones_key_by_key() -> None:
    layers: list[dict[str, Any]] = [{"a": {"x": 1, "y": 1}, "b": 1}, {"a": {"y": 2}}, {"b": {"z": 3}}]
    assert merge(layers) == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}


def test_symbol_overrides_flat_or_in_sections_touch_no_other_symbol() -> None:
    made = load(
        overrides=[
            'symbol_overrides."BTC/USD".lookback=3',
            'symbol_overrides."BTC/USD".crossover.fast=4',
            'symbol_overrides."BTC/USD".take_profit_bps=80',
            'symbol_overrides."BTC/USD".sizing={max_order_amount=50}',
        ]
    )
    own, other = made.for_symbol("BTC/USD"), made.for_symbol("ETH/USD")
    assert (own.momentum.lookback, own.crossover.fast, own.exits.take_profit_bps) == (3, 4, 80)
    assert own.sizing.max_order_amount == 50 and own.sizing.min_order_amount == 10
    assert own.momentum.warmup_count == 50
    assert (other.momentum, other.exits, other.sizing) == (made.momentum, made.exits, made.sizing)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('"X".lokback=1', 'symbol_overrides."X".lokback cannot be set per symbol; did you mean lookback?'),
        ('"X".seed=1', 'symbol_overrides."X".seed cannot be set per symbol'),
        ('"X".lookback=0', 'symbol_overrides."X": lookback: '),
        ('"X".momentum.lookback=0', 'symbol_overrides."X": lookback: '),
        ('"X".fast=30', 'symbol_overrides."X": fast (30) must be less than slow (30)'),
        ('"X".momentum.lokback=1', 'symbol_overrides."X": unknown setting lokback; did you mean '),
        ('"X"=5', "symbol_overrides"),
        ('"X".momentum=5', 'symbol_overrides."X".momentum'),
    ],
)
def test_a_bad_override_of_a_symbol_names_the_symbol(wrong: str, message: str) -> None:
    assert _refused(f"symbol_overrides.{wrong}").startswith(message)


def test_overrides_that_are_no_table_are_refused() -> None:
    assert "symbol_overrides" in _refused("symbol_overrides=BTC")


def test_an_instrument_has_its_rules_or_the_defaults() -> None:
    made = load(overrides=['instruments."A".tick=0.01', 'instruments."A".min_notional=5'])
    assert made.instrument("A") == Instrument("A", Decimal("0.01"), Decimal("0.000001"), Decimal(5))
    assert made.instrument("B") == Instrument("B", None, Decimal("0.000001"), Decimal(0))
    assert "instruments.A.lot" in _refused('instruments."A".lot=0')
    assert "unknown setting instruments.A.tik" in _refused('instruments."A".tik=1')


def test_currencies_of_an_instrument_follow_from_its_symbol_unless_set() -> None:
    made = load(overrides=['instruments."A/USD".quote="usdc"', 'instruments."BTCUSDT".base="BTC"'])
    spot, own, bare = (made.instrument(symbol) for symbol in ("B/USD", "A/USD", "BTCUSDT"))
    assert (spot.base, spot.quote, spot.settlement) == ("B", "USD", "USD")
    assert (own.base, own.quote, own.settlement) == ("A", "USDC", "USDC")
    assert (bare.base, bare.quote, bare.settlement) == ("BTC", "", "")


@pytest.mark.parametrize(
    ("rule", "unsupported"),
    [
        ("multiplier=10", "a multiplier"),
        ("max_leverage=2", "leverage"),
        ("expiry=2026-12-25T08:00:00Z", "an expiry"),
        ('expiry="2026-12-25T08:00:00Z"', "an expiry"),
        ('settlement="BTC"', "a settlement currency other than the quote currency"),
    ],
)
def test_instrument_that_the_engine_cannot_trade_is_refused(rule: str, unsupported: str) -> None:
    message = f'instruments."A/USD": {unsupported} is not supported yet; remove it'
    assert _refused(f'instruments."A/USD".{rule}') == message


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("{payout_min=0}", "must both be set"),
        ("{payout_min=1, payout_max=1}", "must both be set"),
        ('{expiry="soon"}', "write a time as RFC 3339"),
        ('{kind="future"}', "instruments.A.kind"),
        ('{base="B/C"}', "instruments.A.base"),
    ],
)
def test_wrong_rule_of_an_instrument_is_named(rules: str, message: str) -> None:
    assert message in _refused(f"instruments.A={rules}")


def _varied() -> Settings:
    return load(
        overrides=[
            "seed=9",
            "sizing.target_balance_pct=0.125",
            "execution.aggression_bps=15",
            'symbol_overrides."A".lookback=3',
            'instruments."A".lot=0.00001',
            'strategy.params={window=5, name="x"}',
        ]
    )


def test_recorded_settings_come_back_the_same() -> None:
    for made in (load(), _varied()):
        back = from_plain(to_plain(made))
        assert back.model_dump() == made.model_dump()
        assert to_plain(back) == to_plain(made)


def test_recorded_settings_ignore_todays_environment_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = to_plain(_varied())
    monkeypatch.setenv("AUTOHEDGE__MOMENTUM__LOOKBACK", "99")
    monkeypatch.setenv("AUTOHEDGE__MOMENTUM__LOKBACK", "99")
    Path(".env").write_text("AUTOHEDGE__SEED=1\n")
    Path("config.toml").write_text("[momentum]\nlookback = 98\n")
    assert to_plain(from_plain(recorded)) == recorded


def test_recorded_settings_with_a_missing_key_are_refused() -> None:
    recorded = to_plain(load())
    del recorded["momentum"]["lookback"]
    with pytest.raises(Misconfigured, match=r"momentum\.lookback: Field required"):
        from_plain(recorded)


def test_recorded_settings_of_an_earlier_version_lack_those_of_answers() -> None:
    recorded = to_plain(load())
    for name in ANSWER_SETTINGS:
        del recorded["llm"][name]
        for agent in recorded["agents"].values():
            del agent[name]
    assert from_plain(recorded).model_dump() == load().model_dump()


def test_agents_take_what_they_leave_unset_from_llm() -> None:
    made = load(
        overrides=[
            "llm.max_answer_tokens=900",
            "llm.reasoning=low",
            "llm.extra_body={top_k=5}",
            "agents.quant.reasoning=off",
            "agents.quant.max_answer_tokens=0",
            "agents.risk.extra_body={}",
            "agents.risk.keep_alive=-1",
        ]
    )
    found = made.resolved_agents
    assert (found.director.max_answer_tokens, found.director.reasoning) == (900, "low")
    assert (found.quant.max_answer_tokens, found.quant.reasoning, found.quant.extra_body) == (
        0,
        "off",
        {"top_k": 5},
    )
    assert (found.risk.extra_body, found.risk.keep_alive, found.director.keep_alive) == ({}, "-1", "")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("{model='x'}", "set llm.model"),
        ("{messages=[]}", "must not hold messages"),
        ("{options={num_predict=9}}", "set llm.max_answer_tokens"),
        ("{stream=true}", "must not hold stream"),
        ("{api_key='hush'}", "api_key looks like a secret"),
        ("{a={b=[{Authorization='hush'}]}}", "Authorization looks like a secret"),
        ("{user='sk-hush1234567890abcdef'}", "user looks like a secret"),
        ("{top_p=nan}", "top_p must be text, a finite number"),
        ("{since=2026-01-01}", "since must be text, a finite number"),
    ],
)
@pytest.mark.parametrize("section", ["llm", "agents.director"])
def test_extra_body_with_secrets_or_reserved_names_is_refused(
    section: str, table: str, expected: str
) -> None:
    text = _refused(f"{section}.extra_body={table}")
    assert text.startswith(f"{section}.extra_body: ") and expected in text
    assert "hush" not in text


@pytest.mark.parametrize(
    ("given", "kept"), [("10m", "10m"), ("-1", "-1"), ("0", "0"), ("1h30m", "1h30m"), ('""', "")]
)
def test_keep_alive_is_a_duration_or_seconds(given: str, kept: str) -> None:
    assert load(overrides=[f"llm.keep_alive={given}"]).llm.keep_alive == kept


@pytest.mark.parametrize("given", ["soon", "10 m", "1.5", "true"])
def test_keep_alive_of_another_form_is_refused(given: str) -> None:
    assert _refused(f"llm.keep_alive={given}").startswith("llm.keep_alive: ")


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("redis://:hush@localhost:6379/0", "AUTOHEDGE_REDIS_PASSWORD"),
        ("redis://joe:hu/sh@localhost", "AUTOHEDGE_REDIS_PASSWORD"),
        ("redis://localhost/0?password=hush", "AUTOHEDGE_REDIS_PASSWORD"),
        ("unix:///tmp/redis?db=1&password=hush", "AUTOHEDGE_REDIS_PASSWORD"),
        ("redis://joe:hush", "redis://HOST:PORT/DATABASE"),
        ("redis://[hush", "redis://HOST:PORT/DATABASE"),
        ("http://hush:6379", "redis://HOST:PORT/DATABASE"),
        ("hush", "redis://HOST:PORT/DATABASE"),
        ("redis:///0", "redis://HOST:PORT/DATABASE"),
        ("redis://localhost/hush", "database number"),
        ("unix://hush/tmp", "unix:///PATH"),
    ],
)
def test_redis_url_with_secret_or_invalid_is_refused_without_showing_it(url: str, cure: str) -> None:
    text = _refused(f'redis.url="{url}"')
    assert text.startswith("redis: url") and cure in text
    assert "hush" not in text and "hu/sh" not in text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://127.0.0.1",
        "redis://h:6379/15",
        "rediss://h:6380/",
        "redis://[::1]:6379/0",
        "unix:///tmp/r",
    ],
)
def test_an_address_of_redis_is_a_host_or_a_socket(url: str) -> None:
    assert load(overrides=[f'redis.url="{url}"']).redis.url == url


def test_the_password_of_redis_comes_from_the_environment_before_dotenv(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AUTOHEDGE_REDIS_PASSWORD", raising=False)
    assert load_secrets().redis_password is None
    Path(".env").write_text("AUTOHEDGE_REDIS_PASSWORD=from-a-file\n")
    in_file = load_secrets().redis_password
    assert in_file and in_file.get_secret_value() == "from-a-file"
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", "from-outside")
    outside = load_secrets().redis_password
    assert outside and outside.get_secret_value() == "from-outside"
    assert "from-outside" not in f"{load_secrets()} {to_plain(load())} {with_origins()}"
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", "line\nbreak")
    with pytest.raises(Misconfigured, match="AUTOHEDGE_REDIS_PASSWORD holds characters"):
        load_secrets()


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)


def _keys() -> list[str | None]:
    found = load_secrets()
    return [key.get_secret_value() if key else None for key in (found.llm_api_key, found.openai_api_key)]


@pytest.mark.usefixtures("no_key")
def test_the_keys_of_models_come_from_the_environment_before_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _keys() == [None, None]
    Path(".env").write_text("OPENAI_API_KEY=sk-file-general\nAUTOHEDGE_LLM_API_KEY= sk-file-own \n")
    assert _keys() == ["sk-file-own", "sk-file-general"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    monkeypatch.setenv("AUTOHEDGE_LLM_API_KEY", " ")
    assert _keys() == ["sk-file-own", "sk-general"]
    monkeypatch.setenv("AUTOHEDGE_LLM_API_KEY", "sk-own")
    assert _keys() == ["sk-own", "sk-general"]


@pytest.mark.parametrize("name", ["", "OPENAI_API_KEY", "GROQ_KEY_2", "TOKEN"])
def test_the_key_setting_is_the_name_of_a_variable(name: str) -> None:
    assert load(overrides=[f"llm.key={name!r}"]).llm.key == name


@pytest.mark.parametrize(
    "key", ["sk-proj-0123abcd", "gsk_0123456789abcdef", "AIzaSyA0123456789", "AKIA0123456789ABCDEF", "my key"]
)
def test_a_key_instead_of_a_name_is_refused_without_showing_it(key: str) -> None:
    text = _refused(f"llm.key={key!r}")
    assert "llm: key is the name of an environment variable" in text and key not in text


def test_settings_of_a_run_before_the_key_setting_are_read() -> None:
    values = to_plain(load())
    del values["llm"]["key"]
    assert from_plain(values).llm.key == ""


@pytest.mark.usefixtures("no_key")
def test_no_text_of_secrets_or_settings_shows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    made = load()
    assert (
        "sk-general" not in f"{load_secrets()} {load_secrets()!r} {made!r} {to_plain(made)} {with_origins()}"
    )
    assert unused_names() == []


@pytest.mark.usefixtures("no_key")
@pytest.mark.parametrize("wrong", ["sk-ключ", "sk-a\nsk-b", "sk\x07"])
def test_a_key_that_no_request_could_carry_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", wrong)
    with pytest.raises(Misconfigured, match="copy it again") as caught:
        load_secrets()
    assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("LLM_QUEUE_SIZE", "7", "llm.queue_size"),
        ("LLM_MAX_CONCURRENT", "7", "llm.max_concurrent"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1", "llm.base_url"),
        ("HYBRID_GATE_REFRESH_QUOTES", "7", "hybrid.gate_refresh_quotes"),
        ("HYBRID_NO_TRADE_COOLDOWN_QUOTES", "7", "hybrid.no_trade_cooldown_quotes"),
        ("NO_TRADE_COOLDOWN_QUOTES", "7", "llm.no_trade_cooldown_quotes"),
    ],
)
def test_models_and_gates_are_set_under_the_names_of_earlier_systems(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, key: str
) -> None:
    monkeypatch.setenv(name, value)
    [row] = [row for row in with_origins() if row.key == key]
    assert (str(row.value), row.origin) == (value, f"environment: {name}")
