"""The JSON schema of an answer as it goes out: the requested symbol, the agent's bounds, lengths that fit.

Servers that enforce a schema make the model fill it. So it must not allow an answer that is longer than the
tokens for it: a model that fills a long text is cut off in the middle.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from autohedge.agents.specs import AGENTS
from autohedge.core.snapshots import Snapshot

Schema = dict[str, Any]

# A key takes one token per four letters, with four for its quotation marks, colon, comma and line break.
KEY_TOKENS, LETTERS_PER_TOKEN = 4, 4
# A number or literal. With some tokenizers each digit is one token.
VALUE_TOKENS, ITEM_TOKENS = 12, 14
# The braces, a few line breaks, and the token that ends the answer.
OBJECT_TOKENS = 8


def request_schema(agent: str, snapshot: Snapshot, max_tokens: int) -> Schema:
    """Returns the schema of an agent's answer about a snapshot.

    With one token per character the longest answer that it allows takes at most `max_tokens`, if its fields
    without texts do.
    """
    spec = AGENTS[agent]
    schema, ranges = _schema_of(spec.answer), spec.ranges(snapshot.limits)
    properties = {
        name: _pinned(name, prop, snapshot.symbol) | _range(ranges, name)
        for name, prop in schema["properties"].items()
    }
    return schema | {"properties": _fitted(properties, max_tokens)}


@cache
def _schema_of(answer: type[BaseModel]) -> Schema:
    """Returns the JSON schema of an answer without titles and descriptions, which would only cost tokens.

    The schema is strict: all properties are required, and no others are allowed.
    """
    properties = {
        name: {key: value for key, value in prop.items() if key != "title"}
        for name, prop in answer.model_json_schema()["properties"].items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _pinned(name: str, prop: Schema, symbol: str) -> Schema:
    # `enum` and not `const`: OpenAI, llama.cpp (also in LM Studio and Ollama) and vLLM all document it.
    return {"enum": [symbol], "type": "string"} if name == "symbol" else prop


def _range(ranges: Mapping[str, tuple[int, int]], name: str) -> Schema:
    return dict(zip(("minimum", "maximum"), ranges[name], strict=True)) if name in ranges else {}


def _fitted(properties: Mapping[str, Schema], max_tokens: int) -> dict[str, Schema]:
    """Limits texts and lists to the tokens that the other fields leave: a third to lists, the rest to texts."""
    fixed = OBJECT_TOKENS + sum(_fixed_tokens(name, prop) for name, prop in properties.items())
    free = max(0, max_tokens - fixed)
    lists = [name for name, prop in properties.items() if prop["type"] == "array"]
    texts = [name for name, prop in properties.items() if "maxLength" in prop]
    items = free // 3 // ITEM_TOKENS // max(1, len(lists))
    limits = {name: {"maxItems": min(properties[name]["maxItems"], items)} for name in lists}
    free -= sum(ITEM_TOKENS * limit["maxItems"] for limit in limits.values())
    chars = max(1, free // max(1, len(texts)))
    limits |= {name: {"maxLength": min(properties[name]["maxLength"], chars)} for name in texts}
    return {name: prop | limits.get(name, {}) for name, prop in properties.items()}


def _fixed_tokens(name: str, prop: Schema) -> int:
    """Returns the tokens of a field's key, and of its value unless that is a text or a list."""
    key = len(name) // LETTERS_PER_TOKEN + KEY_TOKENS
    if prop["type"] == "array" or "maxLength" in prop:
        return key
    return key + max(VALUE_TOKENS, *(len(each) for each in prop.get("enum", ("",))))
