"""What prompts are rendered from, beside the snapshot: prompt files, headlines, lessons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autohedge.agents import director, learning
from autohedge.config import Settings, Tools
from autohedge.core.snapshots import Snapshot
from autohedge.llm.backend import Message, Request
from autohedge.prompts.library import Prompt, load, render
from autohedge.tools.fields import fields_for
from autohedge.tools.headlines import Headlines, read_headlines
from autohedge.tools.lessons import Lesson

ANSWERS: dict[str, type[BaseModel]] = {director.NAME: director.Verdict, learning.NAME: learning.Lesson}
NO_HEADLINES = Headlines((), 0)


@dataclass(slots=True)
class Materials:
    """One run's prompts and texts."""

    prompts: Mapping[str, Prompt]
    tools: Tools
    headlines: Headlines = NO_HEADLINES
    _schemas: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "Materials":
        """What the settings name. Raises Misconfigured for a prompt or a file that cannot be read."""
        path = settings.tools.headlines
        return cls(
            prompts={name: load(name) for name in ANSWERS},
            tools=settings.tools,
            headlines=read_headlines(Path(path)) if path else NO_HEADLINES,
        )

    def request(self, agent: str, snapshot: Snapshot, lessons: Sequence[Lesson]) -> Request:
        """What an agent is asked about a snapshot: the same materials and lessons give the same bytes.

        Raises Misconfigured where the prompt cannot be rendered.
        """
        prompt = self.prompts[agent]
        system, user = render(prompt, fields_for(snapshot, self.tools, self.headlines, lessons))
        return Request(
            agent=agent,
            symbol=snapshot.symbol,
            messages=(Message("system", system), Message("user", user)),
            schema=self._schema(agent),
            temperature=prompt.temperature,
            max_tokens=prompt.max_tokens,
            prompt_hash=prompt.hash,
            snapshot=snapshot.hash,
        )

    def _schema(self, agent: str) -> dict[str, Any]:
        if agent not in self._schemas:
            self._schemas[agent] = schema_of(ANSWERS[agent])
        return self._schemas[agent]


def schema_of(answer: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of an answer without titles and prose, which only cost tokens; nothing else may be in it."""
    schema = answer.model_json_schema()
    properties = {
        name: {key: value for key, value in prop.items() if key != "title"}
        for name, prop in schema["properties"].items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
