"""Prices and knowledge cutoffs of models: which are valid, which no agent uses, and which are missing."""

from pathlib import Path
from typing import Any

import pytest

from autohedge.config import (
    Settings,
    from_plain,
    knowledge_cutoffs,
    load,
    models_without_price,
    prices_not_applied,
    to_plain,
)
from autohedge.core.errors import Misconfigured

pytestmark = pytest.mark.usefixtures("workplace")


def _load(*overrides: str, **models: dict[str, Any]) -> Settings:
    prices = [
        f'models."{name}".{key}={value}' for name, keys in models.items() for key, value in keys.items()
    ]
    return load(overrides=[*overrides, *prices])


def _priced(*names: str, model: str = "gpt-4o") -> Settings:
    return _load(
        f'llm.model="{model}"', 'agents.quant.model="o3"', **{name: {"price_in": 1} for name in names}
    )


def test_prices_are_exact_and_survive_the_record() -> None:
    Path("config.toml").write_text(
        '[models."gpt-4.1"]\nprice_in = 0.1\nprice_out = 8\nknowledge_cutoff = 2024-06-01\n'
    )
    model = load().models["gpt-4.1"]
    assert (str(model.price_in), model.price_cached, model.knowledge_cutoff) == ("0.1", None, "2024-06-01")
    assert from_plain(to_plain(load())) == load()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("price_in", "-0.1"),
        ("price_out", "nan"),
        ("price_cached", '"cheap"'),
        ("knowledge_cutoff", '"2024-13-01"'),
        ("knowledge_cutoff", '"June 2024"'),
        ("knowledge_cutoff", '"20240601"'),
        ("knowledge_cutoff", "2024"),
        ("knowledge_cutoff", "2024-06-01T00:00:00"),
    ],
)
def test_a_negative_price_or_a_bad_day_is_refused(key: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=rf"^models\.m\.{key}: "):
        _load(m={key: value})


def test_a_misspelt_key_of_a_model_names_the_closest() -> None:
    with pytest.raises(Misconfigured, match=r"did you mean models\.m\.price_out\?"):
        _load(m={"price_ouput": 1})


@pytest.mark.parametrize("given", ["GPT-4o", "gpt_4o", "gtp-4o"])
def test_prices_under_another_spelling_are_refused(given: str) -> None:
    expected = f'^models."{given}": no agent asks such a model; did you mean gpt-4o\\?$'
    with pytest.raises(Misconfigured, match=expected):
        prices_not_applied(_priced(given, "o3"))


def test_prices_of_models_that_no_agent_asks_are_one_line() -> None:
    line = "[models] has no effect for gpt-4, o4: the agents ask gpt-4o, o3"
    assert prices_not_applied(_priced("gpt-4", "o4", "o3")) == line
    assert prices_not_applied(_priced("gpt-4o", "o3")) == ""
    # The server chooses the model, which may be this one.
    assert prices_not_applied(_priced("qwen", model="")) == ""


@pytest.mark.parametrize(
    ("server", "unpriced"),
    [
        (['llm.provider="openai"'], ["gpt-4o"]),
        (['llm.provider="openai"', 'llm.base_url="https://api.example.com/v1"'], ["gpt-4o"]),
        (['llm.base_url="https://8.8.8.8/v1"'], ["gpt-4o"]),
        (['llm.provider="openai"', 'llm.base_url="http://127.0.0.1:1234/v1"'], []),
        (['llm.provider="ollama"', 'llm.base_url="http://192.168.1.5:11434"'], []),
        (['llm.provider="openai"', 'llm.base_url="http://[::1]:1234/v1"'], []),
        (['llm.provider="openai"', 'llm.base_url="http://model-server:8000/v1"'], []),
        (['llm.provider="ollama"'], []),
        (['llm.provider="rules"', 'llm.base_url="https://api.example.com/v1"'], []),
        ([], []),
    ],
)
def test_models_without_a_price_are_named_unless_they_are_local(
    server: list[str], unpriced: list[str]
) -> None:
    known = {"o3": {"price_in": 1, "price_out": 1}, "gpt-4o": {"price_in": 1}}
    asked = ['llm.model="gpt-4o"', 'agents.quant.model="o3"']
    assert models_without_price(_load(*server, *asked, **known)) == unpriced


def test_a_limit_of_cost_needs_the_price_of_every_model() -> None:
    limit = ["llm.max_cost_usd=1", 'llm.provider="openai"']
    with pytest.raises(Misconfigured, match=r"^llm.max_cost_usd needs .* name it in llm.model$"):
        _load(*limit)
    with pytest.raises(Misconfigured, match=r'set price_in and price_out in \[models."m"\]$'):
        _load(*limit, 'llm.model="m"', m={"price_in": 1})
    assert _load(*limit, 'llm.model="m"', m={"price_in": 1, "price_out": 0}).llm.max_cost_usd == 1
    assert _load("llm.max_cost_usd=1", 'llm.provider="rules"').llm.max_cost_usd == 1


def test_cutoffs_are_those_of_the_models_that_are_asked() -> None:
    days = {name: {"knowledge_cutoff": '"2024-06-01"'} for name in ("gpt-4o", "other")}
    asked = _load('llm.provider="openai"', 'llm.model="gpt-4o"', **days, o3={"price_in": 1})
    assert knowledge_cutoffs(asked) == {"gpt-4o": "2024-06-01"}
    assert knowledge_cutoffs(_load(**days), "other") == {"other": "2024-06-01"}
    assert knowledge_cutoffs(_load('llm.provider="rules"', 'llm.model="gpt-4o"', **days)) == {}
