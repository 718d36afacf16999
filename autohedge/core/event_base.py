"""The base classes of all events, and how their names appear in a journal."""

import re

import msgspec


def snake_case(class_name: str) -> str:
    """Returns the name of a class as its events are tagged in JSON: `OrderAccepted` is `order_accepted`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


# gc=False in this module: events hold no reference cycles, and the collector need not track them.
# Names, fields and their order are the record format: a change needs a new FORMAT in journal/genesis.py.
class Event(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag=snake_case):
    """Base of all journaled events; `type` in the JSON is the name of the class in snake case."""


class Input(Event, frozen=True, gc=False):
    """Base of what the engine receives."""


class Output(Event, frozen=True, gc=False):
    """Base of what the engine emits."""
