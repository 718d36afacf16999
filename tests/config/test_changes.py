"""Settings that change during a run: what differs, the settings after it, and when each one applies."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

import autohedge
from autohedge.config import Settings, applies_at, changes_between, restarts_needed, to_plain, with_changes
from autohedge.config.sections import Applies, HybridSettings, InstrumentRules, LLMSettings, Section
from autohedge.config.settings import setting_names
from autohedge.core.errors import Misconfigured
from tests.run_harness import settings

AGENTS = ("agents", "graph", "llm", "tools", "prompts")
PACKAGE = Path(autohedge.__file__).parent
CHANGES: dict[str, list[Any]] = {
    "risk__max_position_notional": [5, 50],
    "execution__aggression_bps": [0, 2.5],
    "exits__take_profit_bps": [10, 20],
    "momentum__min_edge_bps": [-1, 3.5],
    'symbol_overrides__"BRK.B/USD"__take_profit_bps': [7, 8],
    'symbol_overrides__"ETH/USD"__sizing__max_order_amount': [700, 800],
}


def _sections(model: type[Section] = Settings) -> Iterator[type[Section]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _sections(field.annotation)


def _choices() -> st.SearchStrategy[Settings]:
    some = st.fixed_dictionaries({}, optional={key: st.sampled_from(each) for key, each in CHANGES.items()})
    return some.map(lambda chosen: settings(**chosen))


@pytest.mark.parametrize("section", [*_sections(), InstrumentRules], ids=lambda each: each.__name__)
def test_section_declares_when_a_change_of_its_fields_applies(section: type[Section]) -> None:
    assert isinstance(vars(section).get("applies"), Applies)


@pytest.mark.parametrize(
    ("name", "applies"),
    [
        ("risk.max_position_notional", "live"),
        ("exits.take_profit_bps", "next_entry"),
        ("execution.time_in_force", "next_entry"),
        ("execution.cooldown_ms", "live"),
        ("momentum.min_edge_bps", "live"),
        ("momentum.lookback", "restart"),
        ("hybrid.min_refresh_s", "live"),
        ("agents.director.samples", "restart"),
        ("strategy.params.window", "restart"),
        ("account.initial_cash", "restart"),
        ("seed", "restart"),
        ("instruments.ETH/USD.tick", "restart"),
        ("symbol_overrides.BRK.B/USD.momentum.min_edge_bps", "live"),
        ("symbol_overrides.ETH/USD.crossover.fast", "restart"),
    ],
)
def test_setting_applies_as_it_declares(name: str, applies: str) -> None:
    assert applies_at(name) == applies


def test_changes_name_only_what_differs() -> None:
    changes = changes_between(settings(), settings(risk__max_position_notional=5, momentum__lookback=3))
    assert changes == {"risk.max_position_notional": "5", "momentum.lookback": 3}
    assert restarts_needed(changes) == ["momentum.lookback"]


@limits(max_examples=25, deadline=None)
@given(_choices(), _choices())
def test_settings_with_their_changes_are_the_new_settings(old: Settings, new: Settings) -> None:
    changed = with_changes(old, changes_between(old, new))
    assert changed == new and to_plain(changed) == to_plain(new)
    assert changes_between(changed, new) == {}
    assert (changes_between(old, new) == {}) is (old == new)


def test_changes_to_invalid_settings_raise() -> None:
    with pytest.raises(Misconfigured, match="max_position_notional"):
        with_changes(settings(), {"risk.max_position_notional": "-1"})


def test_agents_read_no_setting_that_can_change_during_a_run() -> None:
    names = set(setting_names().values())
    changing = {name.partition(".")[0] for name in names if applies_at(name) != "restart"}
    shared: dict[str, type[Section]] = {"hybrid": HybridSettings, "llm": LLMSettings}
    fields = [
        name
        for section, model in shared.items()
        for name in model.model_fields
        if applies_at(f"{section}.{name}") != "restart"
    ]
    sections = "|".join(sorted(changing - shared.keys()))
    read = re.compile(rf"settings\.({sections})\b|(hybrid|llm|_terms)\.({'|'.join(fields)})\b")
    files = [path for package in AGENTS for path in (PACKAGE / package).rglob("*.py")]
    found = [f"{path.name}: {each[0]}" for path in files for each in read.finditer(path.read_text())]
    assert found == [] and fields and changing > shared.keys()
