"""The prompts of the agents: Markdown with named fields, versioned by their hash."""

from autohedge.prompts.library import Prompt, load, names, packaged, parse, render, strays
from autohedge.prompts.naming import FIELDS, Field

__all__ = [
    "FIELDS",
    "Field",
    "Prompt",
    "load",
    "names",
    "packaged",
    "parse",
    "render",
    "strays",
]
