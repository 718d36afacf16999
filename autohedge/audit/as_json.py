"""An audit as JSON values: names as in the record, amounts of money as strings."""

from typing import Any

import msgspec

from autohedge.audit.audit import Audit
from autohedge.audit.conversations import Conversation
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.records.round_trips import RoundTrip, TripStats


def as_dict(audit: Audit) -> dict[str, Any]:
    """Returns the whole audit as JSON values."""
    return {
        "run": audit.run,
        "mode": audit.mode,
        "finished": audit.finished,
        "journal_head": audit.head,
        "silent": audit.no_question_reason,
        "answered_by": {"provider": audit.provider, "model": audit.model, "server": audit.server},
        "prompts": msgspec.to_builtins(audit.prompts),
        "operations": msgspec.to_builtins(audit.operations),
        "questions": msgspec.to_builtins(audit.stats),
        "calls": msgspec.to_builtins(audit.call_stats),
        "trips": {name: _group(group) for name, group in audit.groups.items()},
        "conversations": [of_conversation(each) for each in audit.conversations],
    }


def of_conversation(conversation: Conversation) -> dict[str, Any]:
    """Returns one conversation as JSON values."""
    return {
        "number": conversation.number,
        "symbol": conversation.symbol,
        "why": conversation.why,
        "outcome": conversation.outcome,
        "given_up": conversation.given_up,
        "state": conversation.state,
        "resolution": conversation.resolution,
        "sent": msgspec.to_builtins(conversation.sent),
        "question": msgspec.to_builtins(conversation.question),
        "decision": msgspec.to_builtins(conversation.decision),
        "gate": msgspec.to_builtins(conversation.gate),
        "ended": msgspec.to_builtins(conversation.ended),
        "trips": [_trip(trip) for trip in conversation.trips],
        "calls": [_call(call) for call in conversation.calls],
        "lost": conversation.lost,
    }


def _trip(trip: RoundTrip) -> dict[str, Any]:
    figures: dict[str, Any] = msgspec.to_builtins(trip)
    # `totals` has intermediate sums in float64; only its exact amounts are given out.
    del figures["totals"]
    totals = trip.totals
    return figures | {name: str(getattr(totals, name)) for name in ("realized", "fees", "net")}


def _group(group: TripStats) -> dict[str, Any]:
    figures: dict[str, Any] = msgspec.to_builtins(group)
    return figures | {"net": str(group.net)}


def _call(call: Call) -> dict[str, Any]:
    """Returns a transcript entry without its snapshot, which is large; the question has its hash."""
    fields: dict[str, Any] = msgspec.to_builtins(call)
    return {key: value for key, value in fields.items() if key != "snapshot"}
