"""The content of prompts: tables, figures and texts from one snapshot."""

from autohedge.tools.fields import fields_for
from autohedge.tools.headlines import Headline, Headlines, headlines_for, read_headlines
from autohedge.tools.lessons import Lesson, lessons_for
from autohedge.tools.preview import preview, valid_quotes
from autohedge.tools.untrusted import cleaned, fenced

__all__ = [
    "Headline",
    "Headlines",
    "Lesson",
    "cleaned",
    "fenced",
    "fields_for",
    "headlines_for",
    "lessons_for",
    "preview",
    "read_headlines",
    "valid_quotes",
]
