"""The variants of a question: other figures or another order, and everything else as it is."""

import pytest

from autohedge.ask.probe_questions import (
    PROBED,
    ProbeQuestion,
    emptied,
    mirrored,
    order_shown,
    questions,
    with_swapped_choices,
)
from autohedge.core.errors import Misconfigured
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.llm.backend import LLMRequest, Message
from autohedge.tools.indicators import indicators
from tests.run_harness import settings
from tests.snapshot_factory import rows, snapshot

SETTINGS = settings(tools__table_rows=10)
RISING = snapshot(rows([100 + i * 0.01 + (i % 3) * 0.02 for i in range(30)], spread=0.02))


def _questions(agent: str) -> dict[str, ProbeQuestion]:
    builder = PromptBuilder.of(PromptFiles.of(SETTINGS), SETTINGS.tools, SETTINGS.resolved_agents)
    return {each.variant: each for each in questions(agent, builder, RISING)}


def _user(question: ProbeQuestion) -> str:
    return question.request.messages[1].content


def test_mirrored_snapshot_has_every_figure_reversed() -> None:
    plain, turned = indicators(RISING, 20), indicators(mirrored(RISING), 20)
    assert plain.return_bps and turned.return_bps and plain.rsi and turned.rsi and plain.slope_t
    assert turned.return_bps == pytest.approx(-plain.return_bps, rel=0.05)
    assert turned.slope_t == pytest.approx(-plain.slope_t, rel=0.05)
    assert turned.rsi == pytest.approx(100 - plain.rsi)
    assert plain.imbalance and turned.imbalance == pytest.approx(-plain.imbalance)
    assert turned.last_spread_bps == pytest.approx(plain.last_spread_bps)


def test_mirrored_twice_is_the_same_and_keeps_the_last_quote() -> None:
    turned = mirrored(RISING)
    assert turned.quotes[-1].ts_ns == RISING.quotes[-1].ts_ns
    assert turned.quotes[-1].bid == pytest.approx(RISING.quotes[-1].bid)
    assert turned.quotes[-1].ask == pytest.approx(RISING.quotes[-1].ask)
    for again, row in zip(mirrored(turned).quotes, RISING.quotes, strict=True):
        assert again.bid == pytest.approx(row.bid) and again.ask == pytest.approx(row.ask)
        assert again.bid_size == row.bid_size


def test_a_price_that_fell_by_half_cannot_be_mirrored() -> None:
    with pytest.raises(Misconfigured, match="fell by half"):
        mirrored(snapshot(rows([100.0, 40.0])))


def test_table_and_figures_of_reversed_question_agree() -> None:
    asked = _questions("director")
    assert "return over the last 10 quotes: +" in _user(asked["as_is"])
    assert "return over the last 10 quotes: -" in _user(asked["reversed"])
    first, last = (_user(asked["reversed"]).splitlines()[i].split(" | ")[1] for i in (5, 14))
    assert float(first) > float(last)


def test_empty_question_has_no_quote_and_no_figure() -> None:
    text = _user(_questions("director")["empty"])
    assert "Last 0 quotes" in text and "return over the last 0 quotes: n/a bps" in text
    assert "100." not in text.partition("Account:")[0]
    assert emptied(RISING).valid_quotes == 0


def test_swapped_question_differs_in_the_order_of_choices_only() -> None:
    for agent, plain, swapped in (
        ("director", '"trade" or "no_trade"', '"no_trade" or "trade"'),
        ("quant", '"supported", "refuted" or "uncertain"', '"uncertain", "refuted" or "supported"'),
        ("risk", '"approve" or "reject"', '"reject" or "approve"'),
    ):
        asked, probed = _questions(agent), PROBED[agent]
        before, after = asked["as_is"].request, asked["swapped"].request
        assert after.messages[0].content == before.messages[0].content.replace(plain, swapped)
        assert after.messages[0] != before.messages[0]
        assert after.messages[1] == before.messages[1]
        assert probed.choices(after.schema) == probed.choices(before.schema)[::-1]
        assert order_shown(after, probed) == order_shown(before, probed)[::-1]
        assert asked["repeat"].request == before


def test_swapping_leaves_later_requests_as_they_were() -> None:
    _questions("director")
    schema = _questions("director")["as_is"].request.schema
    assert PROBED["director"].choices(schema) == ("no_trade", "trade")


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("'trade' | 'no_trade'", "'no_trade' | 'trade'"),
        ('["no_trade", "trade"]', '["trade", "no_trade"]'),
        ('"trade"/"no_trade"', '"no_trade"/"trade"'),
        ('"trade" or "trade"', '"trade" or "trade"'),
        ('Say "trade" if it rises, else "no_trade".', 'Say "trade" if it rises, else "no_trade".'),
    ],
)
def test_only_whole_lists_of_choices_are_swapped(text: str, swapped: str) -> None:
    assert with_swapped_choices(_request(text), PROBED["director"]).messages[0].content == swapped


def test_order_without_a_list_in_the_text_is_that_of_the_schema() -> None:
    request = _request('Say "trade" or not.')
    assert order_shown(request, PROBED["director"]) == ("no_trade", "trade")


def test_order_is_that_of_the_first_whole_list() -> None:
    request = _request('"no_trade" or "no_trade"; "trade" or "no_trade"')
    assert order_shown(request, PROBED["director"]) == ("trade", "no_trade")


def test_answers_of_every_probed_agent_have_a_rank() -> None:
    for agent, probed in PROBED.items():
        schema = _questions(agent)["as_is"].request.schema
        found = [""]
        for name in probed.fields:
            found = [
                f"{text} {each}".strip() for text in found for each in schema["properties"][name]["enum"]
            ]
        assert sorted(found) == sorted(probed.leans) and probed.acts in probed.choices(schema)


def _request(text: str) -> LLMRequest:
    schema = {"properties": {"decision": {"enum": ["no_trade", "trade"], "type": "string"}}}
    return LLMRequest("director", "X", (Message("system", text),), schema, 0.0, 100, "p", "s")
