"""What the parts of each agent's prompt cost in tokens, at one time of a tape."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.llm.context_window import prompt_tokens, text_tokens
from autohedge.prompts import render
from autohedge.tools import fields_for

SYSTEM, TEXT, SCHEMA, FORM = "system part", "user part without fields", "schema of the answer", "form"


@dataclass(frozen=True, slots=True)
class PromptCost:
    """The most tokens that an agent's prompt takes: in all, and of each part.

    The parts are the system part, the text of the user part, each field in it as `{name}`, the schema of the answer,
    and the form of the request: its roles and separators. The answer itself may take `answer` tokens more.
    """

    agent: str
    total: int
    parts: Mapping[str, int]
    answer: int


def prompt_cost(builder: PromptBuilder, snapshot: Snapshot, agent: str) -> PromptCost:
    """Returns what an agent's prompt about a snapshot costs, before other agents have answered and without lessons."""
    request, prompt = builder.request(agent, snapshot, ()), builder.prompts[agent]
    fields = fields_for(snapshot, builder.tools, builder.headlines, ())
    system, user = (message.content for message in request.messages)
    parts = {
        SYSTEM: text_tokens(system),
        TEXT: text_tokens(render(prompt, dict.fromkeys(fields, ""))[1]),
        SCHEMA: text_tokens(msgspec.json.encode(request.schema).decode()),
    }
    for name in prompt.fields:
        without = render(prompt, fields | {name: ""})[1]
        parts[f"{{{name}}}"] = text_tokens(user) - text_tokens(without)
    total = prompt_tokens(request)
    return PromptCost(agent, total, parts | {FORM: total - sum(parts.values())}, request.max_tokens)
