"""What a case of ../shared/cases must fulfil, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

PASS: Final = "PASS"
FAIL: Final = "FAIL"
SKIP: Final = "SKIP"


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    result: Literal["PASS", "FAIL", "SKIP"]
    text: str

    def __str__(self) -> str:
        return f"  {self.result} {self.text}"


@dataclass(frozen=True)
class Ended:
    """How a case ended: its exit code, None after the time limit, and its output."""

    exit_code: int | None
    out: str
    err: str


Decide = Callable[[Ended], list[Check]]
"""A function that decides a case on its exit code and its output."""


def must(holds: bool, text: str, seen: object = "") -> Check:
    """Returns a check with what was seen instead, if it does not hold."""
    return Check(PASS, text) if holds else Check(FAIL, f"{text}   [{seen}]")
