"""Compares a deliberation with its record, and names differences that a change of the version explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import msgspec

import autohedge
from autohedge.core.events import Decision
from autohedge.graph.replay_diff import (
    DeliberationDifference,
    Mismatch,
    of_call,
    of_decision,
    of_messages,
    of_schema,
    same_bytes,
    shortened,
)
from autohedge.graph.runner import DeliberationResult
from autohedge.journal.genesis import Genesis
from autohedge.journal.versions import Part
from autohedge.llm.backend import LLMRequest
from autohedge.llm.replay_senders import OVERFLOW
from autohedge.llm.transcript import TranscriptEntry

PROMPT_MESSAGES = 2  # system and user; a repair adds the answer and what is wrong with it
IDENTITY = ("at_ns", "number", "kind", "symbol", "asked_ns", "calls")

LocatedMismatch = tuple[int | None, Mismatch]
"""A difference and its call, None outside the calls."""


@dataclass(slots=True)
class PartDifferences:
    """The number of deliberations that differ in one part, and the first difference."""

    deliberations: int
    first: DeliberationDifference


@dataclass(slots=True)
class VersionDifferences:
    """The version that rendered a record, and the parts that were changed since, with their differences."""

    recorded_by: str
    changed: tuple[Part, ...]
    differences: dict[Part, PartDifferences] = field(default_factory=dict)

    @classmethod
    def of(cls, genesis: Genesis) -> "VersionDifferences | None":
        """Returns the versions for a run's genesis; None if this version recorded the run."""
        if genesis.autohedge == autohedge.__version__:
            return None
        # Halts, cancels and alerts are no part of a deliberation.
        return cls(genesis.autohedge, tuple(part for part in genesis.changes if part != "texts"))

    def add(self, number: int, symbol: str, explained: Mapping[Part, LocatedMismatch]) -> None:
        """Adds the differences of one deliberation."""
        for part, (call, mismatch) in explained.items():
            first = DeliberationDifference(number, symbol, call, *mismatch)
            self.differences.setdefault(part, PartDifferences(0, first)).deliberations += 1


@dataclass(slots=True)
class DeliberationComparison:
    """The comparison of one deliberation with its record; `changed` are the parts that versions changed.

    `explained` has the first difference in each of them. `as_recorded` is set where today's parser judges an
    answer otherwise: what follows in the deliberation, its decision included, is then that of the record.
    `lesson_lost` marks a record with an earlier lesson that today's parser refuses, which prompts then lack.
    `requests` counts the requests that were compared.
    """

    changed: tuple[Part, ...]
    decision: Decision | None
    result: DeliberationResult
    lesson_lost: bool = False
    explained: dict[Part, LocatedMismatch] = field(init=False, default_factory=dict)
    as_recorded: bool = field(init=False, default=False)
    requests: int = field(init=False, default=0)

    def first_call(
        self, recorded: Sequence[TranscriptEntry], remade: Sequence[TranscriptEntry]
    ) -> LocatedMismatch | None:
        """Returns the first call that differs in more than `changed` explains, and the difference."""
        named = self.decision.calls if self.decision else ()
        for call, (old, new) in enumerate(zip_longest(recorded, remade)):
            wrong = self._of_call(call, old, new, named[call] if call < len(named) else "")
            if wrong or self.as_recorded:
                return (call, wrong) if wrong else None
        return None

    def of_decision(self, old: Decision, new: Decision) -> Mismatch | None:
        """Returns the first field of a decision that differs in more than `changed` explains."""
        if marked := self._marked_more:
            self._take_as_recorded("parser", None, marked)
        if not self.as_recorded:
            return of_decision(old, new)
        # The hashes of its lines are compared still: a damaged answer may be judged otherwise too.
        new = msgspec.structs.replace(old, **{name: getattr(new, name) for name in IDENTITY})
        return of_decision(old, new)

    @property
    def _marked_more(self) -> Mismatch | None:
        """The unsupported figures, if today's parser marks more, which can change prompts and verdict."""
        old, new = self.decision.unsupported if self.decision else (), self.result.unsupported
        if self.decision is None or "parser" not in self.changed or not set(new) > set(old):
            return None
        return "answer unsupported", shortened(old), shortened(new)

    def _of_call(
        self, call: int, old: TranscriptEntry | None, new: TranscriptEntry | None, named: str
    ) -> Mismatch | None:
        if old is None or new is None or (old.request is None) != (new.request is None):
            return self._of_missing(call, old, new)
        if old.request and new.request:
            self.requests += 1
            new = msgspec.structs.replace(new, request=self._explain_request(call, old.request, new.request))
        new = self._explain_answer(call, old, new)
        return None if self.as_recorded else of_call(old, new, named)

    def _of_missing(
        self, call: int, old: TranscriptEntry | None, new: TranscriptEntry | None
    ) -> Mismatch | None:
        """Returns the difference between a call and none, unless today's parser made or removed it."""
        wrong = of_call(old, new, "")
        # A cached verdict that today's parser refuses is replaced by a request.
        refused = "parser" in self.changed and old is not None and old.cached is not None
        explained = self._marked_more or (wrong if refused else None)
        if explained:
            self._take_as_recorded("parser", call, explained)
        return None if explained else wrong

    def _explain_request(self, call: int, old: LLMRequest, new: LLMRequest) -> LLMRequest:
        """Returns the new request, with the record's messages or schema where a change explains others."""
        if (wrong := of_messages(old.messages, new.messages)) and (part := self._part_of_messages(old, new)):
            self.explained.setdefault(part, (call, wrong))
            new = msgspec.structs.replace(new, messages=old.messages)
        if "schema" in self.changed and not same_bytes(old.schema, new.schema):
            self.explained.setdefault("schema", (call, of_schema(old.schema, new.schema)))
            # `exact_symbol` says how an answer by the schema is read.
            new = msgspec.structs.replace(new, schema=old.schema, exact_symbol=old.exact_symbol)
        return new

    def _part_of_messages(self, old: LLMRequest, new: LLMRequest) -> Part | None:
        """Returns the part whose change explains other messages."""
        if "prompts" in self.changed:
            return "prompts"
        same_prompt = old.messages[:PROMPT_MESSAGES] == new.messages[:PROMPT_MESSAGES]
        # Lessons and the marks of the Director's answer are shown in prompts.
        judged_otherwise = same_prompt or self.lesson_lost or self._marked_more
        return "parser" if "parser" in self.changed and judged_otherwise else None

    def _explain_answer(self, call: int, old: TranscriptEntry, new: TranscriptEntry) -> TranscriptEntry:
        """Returns the new line, with the record's judgement of the answer where a change explains another."""
        if (new.outcome, new.failure, new.parse) == (old.outcome, old.failure, old.parse):
            return new
        # The context check of a request without an answer counts the tokens of the schema too.
        part: Part = "schema" if old.response is None and OVERFLOW in {old.outcome, new.outcome} else "parser"
        if part not in self.changed or (part == "parser" and old.response is None):
            return new
        if old.outcome != new.outcome:
            reason = f"{new.outcome} ({new.failure})" if new.failure else new.outcome
            self._take_as_recorded(part, call, ("answer outcome", old.outcome, reason))
            return new
        name = "failure" if old.failure != new.failure else "parse"
        mismatch = (f"answer {name}", shortened(getattr(old, name)), shortened(getattr(new, name)))
        self.explained.setdefault(part, (call, mismatch))
        return msgspec.structs.replace(new, failure=old.failure, parse=old.parse)

    def _take_as_recorded(self, part: Part, call: int | None, mismatch: Mismatch) -> None:
        self.explained.setdefault(part, (call, mismatch))
        self.as_recorded = True
