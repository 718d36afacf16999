"""The change of a study: derives the settings and prompts of the variant from the record and the request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from autohedge import config
from autohedge.agents.specs import AGENTS
from autohedge.config import Settings
from autohedge.config.sections import NO_MODELS
from autohedge.core.errors import Misconfigured
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.prompts.library import read, require_known_prompts
from autohedge.whatif.recorded_run import Record

# Keys of [llm] that name a model server. They belong to one provider, so a change of provider resets them.
OF_THE_PLACE = ("model", "base_url", "script")
HERE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Change:
    """The requested change; an empty field means as recorded. `overrides` are `section.key=value`."""

    prompts: Path | None = None
    model: str = ""
    provider: str = ""
    mode: str = ""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The variant: its settings, its prompts, and what it may reuse of the record.

    `differences` describes each difference in a line. `answers_reusable` is whether provider, model and
    server are unchanged, so that recorded answers to the same requests hold. `failures_reusable` is whether
    `llm` and `hybrid` are unchanged too, so that recorded failures hold. With `resolve_locally` the provider
    `auto` is resolved as in virtual time, else as on a clock. `own` are the prompts of the change.
    """

    settings: Settings
    sources: PromptFiles | None
    differences: tuple[str, ...]
    answers_reusable: bool
    failures_reusable: bool
    resolve_locally: bool
    own: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def uses_agents(self) -> bool:
        """Whether the variant uses agents."""
        return self.sources is not None


def plan(record: Record, change: Change) -> Plan:
    """Resolves a change against a record.

    Raises Misconfigured for an empty or impossible change, and with file and line for an invalid prompt.
    """
    before = _pinned(record)
    wanted = _wanted(change)
    settings = _resolved(before, wanted, change)
    _require_effect(record, settings, change)
    _require_symbols(record, settings, wanted)
    _require_known_address(before, settings, wanted)
    sources = None if settings.trading.mode == "hft" else _sources(record, settings, change)
    # Built only for its checks: an invalid prompt must fail here, before anything is asked or simulated.
    if sources:
        PromptBuilder.of(sources, settings.tools, settings.resolved_agents)
    same_who = _who(settings) == _who(before)
    return Plan(
        settings=settings,
        sources=sources,
        differences=tuple(_differences(record, before, settings, sources)),
        answers_reusable=same_who,
        failures_reusable=same_who and (settings.llm, settings.hybrid) == (before.llm, before.hybrid),
        resolve_locally="provider" in _section(wanted, "llm") or _is_here(record, settings),
        own=_own(change.prompts),
    )


def _who(settings: Settings) -> tuple[str, ...]:
    """Returns the fields that identify which model on which server the settings ask."""
    return settings.llm.provider, *(getattr(settings.llm, each) for each in OF_THE_PLACE)


def _is_here(record: Record, settings: Settings) -> bool:
    """Returns False if the recorded run detected a local model server, which then must be detected again."""
    return settings.llm.provider != "auto" or record.manifest.provider in NO_MODELS | {""}


def _section(wanted: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns the requested keys of a section; empty if it is no table, which settings refuse later."""
    keys = wanted.get(name)
    return keys if isinstance(keys, dict) else {}


def _pinned(record: Record) -> Settings:
    """Returns the recorded settings, with `auto` replaced by what it resolved to if the record knows that."""
    settings, manifest = record.settings, record.manifest
    if settings.llm.provider != "auto" or not manifest.provider:
        return settings
    # `auto` looks for a server again; with the model pinned, a server with another one is noticed.
    found = (
        {"provider": "rules"}
        if manifest.provider == "rules"
        else {"model": settings.llm.model or manifest.model}
    )
    return settings.model_copy(update={"llm": settings.llm.model_copy(update=found)})


def _wanted(change: Change) -> dict[str, Any]:
    """Returns the requested settings as nested tables. Raises Misconfigured if no change was requested."""
    named = {"llm": {"model": change.model, "provider": change.provider}, "trading": {"mode": change.mode}}
    given = {section: {k: v for k, v in keys.items() if v} for section, keys in named.items()}
    wanted = config.merge([*map(config.parse_override, change.overrides), *_nonempty(given)])
    if not wanted and change.prompts is None:
        raise Misconfigured(
            "no change is given: add --prompts DIR, --model, --provider, --mode or --set section.key=value"
        )
    # These would be another market or venue, whose snapshots the record does not have.
    fixed = [key for key in ("seed", "synthetic") if key in wanted]
    if fixed or "live" in _section(wanted, "trading"):
        raise Misconfigured(
            f"--set {fixed[0] if fixed else 'trading.live'}: a study keeps the tape, seed and venue of its"
            " record; for another market use `autohedge run`"
        )
    return wanted


def _nonempty(given: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{section: dict(keys)} for section, keys in given.items() if keys]


def _resolved(before: Settings, wanted: Mapping[str, Any], change: Change) -> Settings:
    """Merges the request into the recorded settings; the server of another provider is that of today."""
    layers: list[Mapping[str, Any]] = [config.to_plain(before)]
    provider = _section(wanted, "llm").get("provider", before.llm.provider)
    if provider != before.llm.provider:
        today = config.load(None, change.overrides).llm
        layers.append({"llm": {each: getattr(today, each) for each in (*OF_THE_PLACE, "key")}})
    return config.from_plain(config.merge([*layers, wanted]))


def _require_effect(record: Record, settings: Settings, change: Change) -> None:
    """Raises Misconfigured for options that could have no effect."""
    of_agents = [
        name for name in ("--prompts", "--model", "--provider") if getattr(change, name.removeprefix("--"))
    ]
    if of_agents and settings.trading.mode == "hft":
        cure = "omit it" if change.mode == "hft" else "add --mode hybrid or --mode llm"
        raise Misconfigured(f"{of_agents[0]}: hft mode uses no agents; {cure}")
    provider = settings.llm.provider
    if change.model and (provider in NO_MODELS or (provider == "auto" and not record.manifest.provider)):
        raise Misconfigured(
            f"--model {change.model}: provider {provider} calls no model; add --provider openai or ollama"
        )


def _require_symbols(record: Record, settings: Settings, wanted: Mapping[str, Any]) -> None:
    """Raises Misconfigured for requested rules of a symbol, or prices of a model, that the study does not have."""
    requested = {
        table: {symbol: getattr(settings, table)[symbol] for symbol in _section(wanted, table)}
        for table in ("instruments", "symbol_overrides")
    }
    if unused := config.rules_not_applied(settings.model_copy(update=requested), record.tape.symbols):
        raise Misconfigured(unused)
    if "models" in wanted and (unused := config.prices_not_applied(settings)):
        raise Misconfigured(unused)


def _require_known_address(before: Settings, settings: Settings, wanted: Mapping[str, Any]) -> None:
    """Refuses a remote server or a key that only the record names: an untrusted record must not get a key."""
    name = settings.llm.key
    if name and "key" not in _section(wanted, "llm") and name != config.load().llm.key:
        raise Misconfigured(f"the record names the key {name}; if you trust it, add --set llm.key={name}")
    url = settings.llm.base_url
    recorded = url and url == before.llm.base_url and "base_url" not in _section(wanted, "llm")
    if not recorded or settings.trading.mode == "hft" or urlsplit(url).hostname in HERE:
        return
    # A server in today's settings was chosen by the user, so it may get the key.
    if url != config.load().llm.base_url:
        raise Misconfigured(
            f"the record names a server at {url!r}; if you trust it, add --set llm.base_url={url!r}"
        )


def _sources(record: Record, settings: Settings, change: Change) -> PromptFiles:
    """Returns the recorded prompts with the given ones in their place; today's where the record has none."""
    sources = _recorded(record, settings)
    if settings.tools.headlines != record.settings.tools.headlines:
        sources = msgspec.structs.replace(sources, headlines=settings.tools.headlines)
    return sources.with_prompts(_own(change.prompts))


def _recorded(record: Record, settings: Settings) -> PromptFiles:
    manifest = record.manifest
    known = {"prompts": manifest.prompts, "headlines": manifest.headlines, "markets": manifest.markets}
    recorded = PromptFiles.recorded(known, record.folder.stored_file)
    missing = {name: read(name) for name in AGENTS if name not in recorded.prompts}
    headlines = recorded.headlines if manifest.provider else settings.tools.headlines
    return msgspec.structs.replace(recorded, prompts=missing | recorded.prompts, headlines=headlines)


def _own(folder: Path | None) -> dict[str, tuple[str, str]]:
    """Reads the prompts in a folder. Raises Misconfigured if it has none, or one that no agent reads."""
    if folder is None:
        return {}
    require_known_prompts(folder)
    own = {name: read(name, folder) for name in AGENTS if (folder / f"{name}.md").is_file()}
    if not own:
        names = ", ".join(f"{name}.md" for name in AGENTS)
        raise Misconfigured(
            f"--prompts {folder}: it contains none of {names}; copy one with `autohedge prompts show`"
        )
    return own


def _differences(
    record: Record, before: Settings, settings: Settings, sources: PromptFiles | None
) -> list[str]:
    """Describes each difference in a line; one line says so if there is none."""
    old, new = _flat(config.to_plain(before)), _flat(config.to_plain(settings))
    differences = [
        f"{key}: {old.get(key)!r} → {new.get(key)!r}" for key in new if new.get(key) != old.get(key)
    ]
    if sources and record.manifest.prompts:
        was = _recorded(record, settings).prompts
        differences += [
            f"prompt {name}" for name, (text, _) in sources.prompts.items() if was[name][0] != text
        ]
    return differences or ["no difference: as recorded"]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
