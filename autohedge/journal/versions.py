"""What each version changed in records, so that the replay of an older run can name its differences."""

import re
from typing import Literal

import autohedge

Part = Literal["texts", "schema", "parser", "prompts"]
"""A part of a record: `texts` of halts, cancels and alerts; the answer `schema` in requests to models; the
`parser`, which judges answers and writes the request for a repair; the rendering of `prompts`."""

CHANGED: dict[tuple[int, ...], tuple[Part, ...]] = {}
"""The parts that a version changed, by the version's number, such as (0, 5); since the first with this format.

A version that changes none is left out.
"""


def changed_since(version: str) -> tuple[Part, ...]:
    """Returns the parts that versions after this one changed; empty for today's version."""
    if version == autohedge.__version__:
        return ()
    later = (parts for number, parts in sorted(CHANGED.items()) if number > version_number(version))
    return tuple(dict.fromkeys(part for parts in later for part in parts))


def version_number(version: str) -> tuple[int, ...]:
    """Returns the leading numbers of a version; empty, which is older than any, for a text without them."""
    found = re.match(r"\d{1,9}(?:\.\d{1,9})*", version, re.ASCII)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
