"""The variants of one question of a probe: other figures, or the choices of the decision in another order.

A variant changes the snapshot, which is then rendered by the ordinary path, so that table and figures agree. Only
the order of the choices is changed in the rendered request, in its text and in its schema.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
from pydantic import BaseModel

from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import QuoteRow, Snapshot
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.llm.backend import LLMRequest, Message
from autohedge.tools.prior_answers import NO_PRIOR_ANSWERS, PriorAnswers, thesis_text

Variant = Literal["as_is", "swapped", "reversed", "empty", "repeat"]
# Quant and Risk judge the same claim in every variant: only the figures speak for it or against it.
CLAIM = PriorAnswers(thesis_text("long", 70, "The price rises.", ()))
_QUOTE = r"[\"'`]"
_SEPARATOR = r"(?:\s|,|/|\||\bor\b|\band\b)+"


@dataclass(frozen=True, slots=True)
class ProbedAnswer:
    """How the answers of an agent are compared: by `fields`, whose values come from fixed lists.

    The first field is the decision, `acts` the choice that leads to an entry. `leans` ranks the answers from the one
    that fits a fall best to the one that fits a rise best.
    """

    fields: tuple[str, ...]
    acts: str
    leans: dict[str, int]
    prior: PriorAnswers

    def text(self, answer: BaseModel) -> str:
        """Returns the compared values of an answer: `trade long`."""
        return " ".join(str(getattr(answer, name)) for name in self.fields)

    def choices(self, schema: dict[str, Any]) -> tuple[str, ...]:
        """Returns the choices of the decision in the order of a request's schema."""
        return tuple(schema["properties"][self.fields[0]]["enum"])


PROBED: dict[str, ProbedAnswer] = {
    "director": ProbedAnswer(
        ("decision", "direction"),
        "trade",
        {
            "trade short": -2,
            "trade exit": -2,
            "no_trade short": -1,
            "no_trade exit": -1,
            "no_trade long": 1,
            "trade long": 2,
        },
        NO_PRIOR_ANSWERS,
    ),
    "quant": ProbedAnswer(("thesis",), "supported", {"refuted": -1, "uncertain": 0, "supported": 1}, CLAIM),
    "risk": ProbedAnswer(("decision",), "approve", {"reject": -1, "approve": 1}, CLAIM),
}
"""The agents that can be probed. Execution chooses by the spread, and Learning writes text only."""


class ProbeQuestion(NamedTuple):
    """One variant of a question: its snapshot, and the request that was rendered from it."""

    variant: Variant
    snapshot: Snapshot
    request: LLMRequest


def questions(agent: str, builder: PromptBuilder, snapshot: Snapshot) -> Iterator[ProbeQuestion]:
    """Yields every variant of an agent's question about a snapshot."""
    probed = PROBED[agent]

    def question(variant: Variant, shown: Snapshot) -> ProbeQuestion:
        return ProbeQuestion(variant, shown, builder.request(agent, shown, (), probed.prior))

    plain = question("as_is", snapshot)
    yield plain
    yield plain._replace(variant="swapped", request=with_swapped_choices(plain.request, probed))
    yield question("reversed", mirrored(snapshot))
    yield question("empty", emptied(snapshot))
    yield plain._replace(variant="repeat")


def mirrored(snapshot: Snapshot) -> Snapshot:
    """Returns a copy whose prices p are 2 m - p, with m the last mid: a rise becomes a fall of the same size.

    Bids become asks, with their sizes. Times, spreads, the last quote's prices and the grid of prices stay.
    Raises Misconfigured if a price would not be positive.
    """
    last = snapshot.quotes[-1]
    double = last.bid + last.ask
    if any(double - row.ask <= 0 for row in snapshot.quotes):
        raise Misconfigured(
            f"{snapshot.symbol}: its price fell by half within {len(snapshot.quotes)} quotes; choose another --at"
        )
    quotes = tuple(
        QuoteRow(row.ts_ns, double - row.ask, row.ask_size, double - row.bid, row.bid_size)
        for row in snapshot.quotes
    )
    return msgspec.structs.replace(snapshot, quotes=quotes)


def emptied(snapshot: Snapshot) -> Snapshot:
    """Returns a copy without quotes: the table has a header only, and every figure is `n/a`."""
    return msgspec.structs.replace(snapshot, quotes=(), valid_quotes=0)


def with_swapped_choices(request: LLMRequest, probed: ProbedAnswer) -> LLMRequest:
    """Returns a request that lists the choices of the decision in the opposite order, in its text and its schema."""
    choices, field = probed.choices(request.schema), probed.fields[0]
    messages = tuple(Message(each.role, _swapped(each.content, choices)) for each in request.messages)
    properties = request.schema["properties"]
    rule = properties[field] | {"enum": list(reversed(choices))}
    schema = request.schema | {"properties": properties | {field: rule}}
    return msgspec.structs.replace(request, messages=messages, schema=schema)


def order_shown(request: LLMRequest, probed: ProbedAnswer) -> tuple[str, ...]:
    """Returns the choices in the order of the first list of them in the request's text, else of its schema."""
    choices = probed.choices(request.schema)
    for message in request.messages:
        for found in _list_pattern(choices).finditer(message.content):
            if _is_whole(listed := _listed(found[0], choices), choices):
                return tuple(listed)
    return choices


def _swapped(text: str, choices: tuple[str, ...]) -> str:
    return _list_pattern(choices).sub(lambda found: _in_reverse(found[0], choices), text)


def _in_reverse(text: str, choices: tuple[str, ...]) -> str:
    """Returns a list such as `"a", "b" or "c"` with its choices in the opposite order."""
    listed = _listed(text, choices)
    if not _is_whole(listed, choices):
        return text
    following = reversed(listed)
    return re.sub(_choice_pattern(choices), lambda _: next(following), text)


def _is_whole(listed: list[str], choices: tuple[str, ...]) -> bool:
    return sorted(listed) == sorted(choices)


def _listed(text: str, choices: tuple[str, ...]) -> list[str]:
    return re.findall(_choice_pattern(choices), text)


def _choice_pattern(choices: tuple[str, ...]) -> str:
    return rf"(?<={_QUOTE})(?:{'|'.join(map(re.escape, choices))})(?={_QUOTE})"


def _list_pattern(choices: tuple[str, ...]) -> re.Pattern[str]:
    quoted = f"{_QUOTE}{_choice_pattern(choices)}{_QUOTE}"
    return re.compile(f"{quoted}(?:{_SEPARATOR}{quoted}){{{len(choices) - 1}}}")
