"""Compares the models that settings have prices for with those that the agents ask."""

import ipaddress
from urllib.parse import urlsplit

from autohedge.config.sections import FORMULAS, NO_MODELS, LLMSettings
from autohedge.config.settings import Settings
from autohedge.config.symbols import has_same_letters
from autohedge.core.errors import Misconfigured
from autohedge.core.text import bare_name, one_line

SHOWN_CHARS = 200


def prices_not_applied(settings: Settings) -> str:
    """Returns a line about models with a section of `models` that no agent asks; empty if there are none.

    Nothing is said where `llm.model` is empty, because the server then decides which model answers. Raises
    Misconfigured for one that is probably a model of an agent in another spelling.
    """
    asked = settings.model_names
    absent = [name for name in settings.models if name not in asked]
    if not absent or "" in asked:
        return ""
    without = [name for name in asked if name not in settings.models]
    for name in absent:
        # One letter more does not count: gpt-4 and gpt-4o are two models.
        if meant := next(
            (each for each in without if has_same_letters(bare_name(name), bare_name(each))), ""
        ):
            place = one_line(f'models."{name}"', SHOWN_CHARS)
            raise Misconfigured(f"{place}: no agent asks such a model; did you mean {meant}?")
    named, held = (one_line(", ".join(names), SHOWN_CHARS) for names in (absent, asked))
    return f"[models] has no effect for {named}: the agents ask {held}"


def knowledge_cutoffs(settings: Settings, served: str = "") -> dict[str, str]:
    """Returns the knowledge cutoff of each model that the agents ask, as YYYY-MM-DD, where it is set.

    `served` is the model that answers where the settings name none.
    """
    if settings.llm.provider in FORMULAS:
        return {}
    asked = [name or served for name in settings.model_names]
    known = {name: settings.models[name].knowledge_cutoff for name in asked if name in settings.models}
    return {name: cutoff for name, cutoff in known.items() if cutoff}


def models_without_price(settings: Settings) -> list[str]:
    """Returns the models that the agents ask on a server that is not local, and whose cost is unknown."""
    if not _asks_remote_server(settings.llm):
        return []
    models = settings.models
    return [
        name for name in settings.model_names if name and not (name in models and models[name].has_prices)
    ]


def _asks_remote_server(llm: LLMSettings) -> bool:
    if llm.provider in NO_MODELS:
        return False
    # Without an address only the provider openai asks a server elsewhere.
    return not _is_local(llm.base_url) if llm.base_url else llm.provider == "openai"


def _is_local(base_url: str) -> bool:
    """Returns whether an address is of this machine or of a private network; a name without a dot is."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))
