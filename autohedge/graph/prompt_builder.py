"""Renders requests from a snapshot, prompt files, headlines and lessons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from autohedge.agents.specs import AGENTS
from autohedge.config import Settings
from autohedge.config.sections import AgentSettings, AgentsSettings, ToolsSettings
from autohedge.core.errors import Corrupt
from autohedge.core.snapshots import Snapshot
from autohedge.graph.answer_schemas import request_schema
from autohedge.llm.backend import LLMRequest, Message
from autohedge.llm.lossless_repairs import symbol_letters
from autohedge.prompts.library import FOLDER, Prompt, parse, read, render, require_known_prompts
from autohedge.tools.fields import fields_for
from autohedge.tools.headlines import Headlines, read_headlines
from autohedge.tools.lessons import Lesson
from autohedge.tools.prior_answers import NO_PRIOR_ANSWERS, PriorAnswers

NO_HEADLINES = Headlines((), 0)


class PromptFiles(msgspec.Struct, frozen=True):
    """The prompts and headlines of a run: each prompt's text with the path that it was read from, or "".

    The prompts are read once, so that the recorded text is the one that is used, even if a file changes
    meanwhile.
    """

    prompts: dict[str, tuple[str, str]]
    headlines: str
    markets: dict[str, str] = {}

    @classmethod
    def of(cls, settings: Settings) -> "PromptFiles":
        """Reads the files of the settings and `./prompts`. Raises Misconfigured if one cannot be read."""
        require_known_prompts(FOLDER)
        prompts = {name: read(name) for name in AGENTS}
        return cls(prompts, settings.tools.headlines)

    def for_markets(self, markets: Mapping[str, str]) -> "PromptFiles":
        """Returns a copy with the markets of a run: the hash of each symbol's quotes."""
        return msgspec.structs.replace(self, markets=dict(markets))

    @classmethod
    def recorded(cls, manifest: Mapping[str, Any], stored_file: Callable[[str], Path]) -> "PromptFiles":
        """Returns the files of a run's genesis.

        `stored_file` returns the path of a stored file, and raises Corrupt for a changed one.
        """
        prompts = recorded_prompts(manifest["prompts"], stored_file)
        headlines = str(stored_file(manifest["headlines"])) if manifest.get("headlines") else ""
        return cls(prompts, headlines, manifest.get("markets") or {})

    def with_prompts(self, prompts: Mapping[str, tuple[str, str]]) -> "PromptFiles":
        """Returns a copy with some prompts replaced."""
        return msgspec.structs.replace(self, prompts=self.prompts | dict(prompts))

    def store_files(self, store_file: Callable[[bytes, str], str]) -> dict[str, Any]:
        """Stores the files and returns their names for the genesis."""
        prompts = {name: store_file(text.encode(), ".md") for name, (text, _) in self.prompts.items()}
        headlines = store_file(Path(self.headlines).read_bytes(), ".jsonl") if self.headlines else None
        return {"prompts": prompts, "headlines": headlines, "markets": self.markets}


def recorded_prompts(
    names: Mapping[str, str], stored_file: Callable[[str], Path]
) -> dict[str, tuple[str, str]]:
    """Returns each prompt's text and path by its stored file. Raises Corrupt if one is changed or missing."""
    paths = {name: stored_file(file) for name, file in names.items()}
    return {name: (_text(path), str(path)) for name, path in paths.items()}


def _text(path: Path) -> str:
    """Reads a stored prompt without newline conversion, which would change its hash."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"{path} is damaged: {error}; a prompt is text in UTF-8") from None


@dataclass(slots=True)
class PromptBuilder:
    """Renders the requests of one run."""

    prompts: Mapping[str, Prompt]
    tools: ToolsSettings
    agents: AgentsSettings
    headlines: Headlines = NO_HEADLINES
    markets: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, sources: PromptFiles, tools: ToolsSettings, agents: AgentsSettings) -> "PromptBuilder":
        """Returns a builder for these files. Raises Misconfigured with file and line of an error in one."""
        prompts = _parsed(sources.prompts)
        headlines = read_headlines(Path(sources.headlines)) if sources.headlines else NO_HEADLINES
        return cls(prompts, tools, agents, headlines, sources.markets)

    def with_prompts(self, prompts: Mapping[str, tuple[str, str]]) -> "PromptBuilder":
        """Returns a copy with all prompts replaced. Raises Misconfigured with file and line."""
        return replace(self, prompts=_parsed(prompts))

    def request(
        self,
        agent: str,
        snapshot: Snapshot,
        lessons: Sequence[Lesson],
        colleagues: PriorAnswers = NO_PRIOR_ANSWERS,
    ) -> LLMRequest:
        """Renders an agent's request about a snapshot; equal inputs give equal bytes.

        Raises Misconfigured if the prompt cannot be rendered.
        """
        prompt = self.prompts[agent]
        fields = fields_for(snapshot, self.tools, self.headlines, lessons, colleagues)
        system, user = render(prompt, fields)
        own: AgentSettings = getattr(self.agents, agent)
        max_tokens = own.max_answer_tokens or prompt.max_tokens
        return LLMRequest(
            agent=agent,
            symbol=snapshot.symbol,
            messages=(Message("system", system), Message("user", user)),
            schema=request_schema(agent, snapshot, max_tokens),
            temperature=prompt.temperature if own.temperature is None else own.temperature,
            max_tokens=max_tokens,
            prompt_hash=prompt.hash,
            snapshot=snapshot.hash,
            model=own.model,
            timeout_s=own.timeout_s or 0.0,
            exact_symbol=self._has_twin(snapshot.symbol),
            reasoning=own.reasoning or "auto",
            keep_alive=own.keep_alive or "",
            extra_body=own.extra_body or {},
        )

    def _has_twin(self, symbol: str) -> bool:
        """Whether another symbol of the run differs from this one in case or separators only."""
        letters = symbol_letters(symbol)
        return any(symbol_letters(other) == letters for other in self.markets if other != symbol)


def _parsed(prompts: Mapping[str, tuple[str, str]]) -> dict[str, Prompt]:
    return {name: parse(name, text, origin) for name, (text, origin) in prompts.items()}
