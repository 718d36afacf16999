"""An audit for programs: names as in the record, money as strings."""

from typing import Any

import msgspec

from autohedge.audit.questions import Conversation
from autohedge.audit.reading import Audit
from autohedge.audit.trips import Group, Trip
from autohedge.llm.transcript import Line as Call


def as_dict(audit: Audit) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "run": audit.run,
        "mode": audit.mode,
        "finished": audit.finished,
        "journal_head": audit.head,
        "silent": audit.silent,
        "answered_by": {"provider": audit.provider, "model": audit.model, "server": audit.server},
        "prompts": msgspec.to_builtins(audit.prompts),
        "questions": msgspec.to_builtins(audit.tally),
        "calls": msgspec.to_builtins(audit.spoken),
        "trips": {name: _summed(group) for name, group in audit.groups.items()},
        "conversations": [of_conversation(each) for each in audit.conversations],
    }


def of_conversation(conversation: Conversation) -> dict[str, Any]:
    """One conversation as JSON values."""
    return {
        "number": conversation.number,
        "symbol": conversation.symbol,
        "why": conversation.why,
        "outcome": conversation.outcome,
        "given_up": conversation.given_up,
        "state": conversation.state,
        "disposed": conversation.disposed,
        "sent": msgspec.to_builtins(conversation.sent),
        "question": msgspec.to_builtins(conversation.question),
        "decision": msgspec.to_builtins(conversation.decision),
        "gate": msgspec.to_builtins(conversation.gate),
        "ended": msgspec.to_builtins(conversation.ended),
        "trips": [_summed(trip) for trip in conversation.trips],
        "calls": [_call(call) for call in conversation.calls],
    }


def _summed(trips: Trip | Group) -> dict[str, Any]:
    figures: dict[str, Any] = msgspec.to_builtins(trips)
    return figures | {"net": str(trips.net)}


def _call(call: Call) -> dict[str, Any]:
    """A transcript's line without the snapshot, whose hash the question has."""
    said: dict[str, Any] = msgspec.to_builtins(call)
    return {key: value for key, value in said.items() if key != "snapshot"}
