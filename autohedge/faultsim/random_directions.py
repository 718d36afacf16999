"""Random directions of a history: longs, shorts or both, in a cash or a covered account.

They are drawn from a stream of their own, so that histories of long positions stay as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import structs

from autohedge.core.ids import Randomness
from autohedge.faultsim.history import ScriptedAnswer
from autohedge.faultsim.random_settings import PYTHON_STRATEGY

BOTH_WAYS_STRATEGY = "autohedge.faultsim.rising_mid:TurningMid"


class Directions(NamedTuple):
    """What may be entered, by `trading.direction`, and the `account.kind`, which may refuse shorts."""

    direction: str
    kind: str


CHOICES = (
    Directions("long", "cash"),
    Directions("long", "covered"),
    Directions("short", "covered"),
    Directions("both", "covered"),
    Directions("both", "cash"),
)
_WEIGHTS = (45, 5, 17, 22, 11)
_WEIGHTS_OF_PROPOSALS = (
    35,
    5,
    10,
    42,
    8,
)  # agents turn from one side to the other only where both are entered


def random_directions(draw: Randomness, mode: str) -> Directions:
    """Draws the directions of a history: longs alone in about half of them."""
    (directions,) = draw.choices(CHOICES, _WEIGHTS_OF_PROPOSALS if mode == "llm" else _WEIGHTS)
    return directions


def direction_settings(directions: Directions, plain: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings need for these directions; empty for longs in a cash account."""
    if directions == CHOICES[0]:
        return {}
    made: dict[str, Any] = {
        "trading": {"direction": directions.direction},
        "account": {"kind": directions.kind},
    }
    if directions.direction != "long" and plain["strategy"]["name"] == PYTHON_STRATEGY:
        made["strategy"] = {"name": BOTH_WAYS_STRATEGY}
    if directions.direction == "both" and plain["trading"]["mode"] == "llm":
        # Entries often rest, so that some still do when the agents propose the other side.
        made["agents"] = {"execution": {"most_offset_bps": 12}}
    return made


def answers_in_directions(
    draw: Randomness, directions: Directions, answers: Mapping[str, Sequence[ScriptedAnswer]]
) -> dict[str, list[ScriptedAnswer]]:
    """Turns answers for a long into ones for a short: some where both are entered, nearly all for shorts alone."""
    shorts = {"long": 0.0, "both": 0.5, "short": 0.95}[directions.direction]
    return {
        key: [
            structs.replace(each, direction="short")
            if each.direction == "long" and draw.random() < shorts
            else each
            for each in given
        ]
        for key, given in answers.items()
    }
