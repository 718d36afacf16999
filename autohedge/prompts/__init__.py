"""The prompts of the agents: Markdown with named fields, versioned by their hash."""

from autohedge.prompts.fields import FIELDS, Field
from autohedge.prompts.library import (
    FOLDER,
    Prompt,
    builtin_names,
    builtin_path,
    is_builtin,
    load,
    parse,
    render,
    require_known_prompts,
)

__all__ = [
    "FIELDS",
    "FOLDER",
    "Field",
    "Prompt",
    "builtin_names",
    "builtin_path",
    "is_builtin",
    "load",
    "parse",
    "render",
    "require_known_prompts",
]
