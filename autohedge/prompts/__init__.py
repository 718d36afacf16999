"""The prompts of the agents: Markdown with named fields, versioned by their hash."""

from autohedge.prompts.library import (
    FOLDER,
    Prompt,
    is_packaged,
    load,
    packaged,
    packaged_file,
    parse,
    render,
    require_no_strays,
)
from autohedge.prompts.naming import FIELDS, Field

__all__ = [
    "FIELDS",
    "FOLDER",
    "Field",
    "Prompt",
    "is_packaged",
    "load",
    "packaged",
    "packaged_file",
    "parse",
    "render",
    "require_no_strays",
]
