"""A study as values that JSON can hold."""

from typing import Any

from autohedge.whatif.again import Again
from autohedge.whatif.record import Past
from autohedge.whatif.runs import COUNTS, MONEY, Parted, Runs
from autohedge.whatif.study import Study


def as_dict(study: Study) -> dict[str, Any]:
    """All of it, with every question; money as strings, exact."""
    return {
        "run": study.record.folder.id,
        "on_clock": study.record.on_clock,
        "change": list(study.plan.told),
        "again": _again(study.again),
        "runs": _runs(study.runs) | {"reproduced": study.reproduced},
    }


def _again(again: Again) -> dict[str, Any]:
    compared = again.compared
    return {
        "silent": again.silent or None,
        "who": {"provider": again.who.provider, "model": again.who.model, "server": again.who.server},
        "same": len(compared) - len(again.changed),
        "changed": len(again.changed),
        "ways": dict(again.ways),
        "abstentions": {
            "was": dict(again.abstentions(now=False)),
            "now": dict(again.abstentions(now=True)),
        },
        "taken": again.taken,
        "asked": again.asked,
        "not_asked": {
            "bypass": again.bypassed,
            "cache": again.cached,
            "unreached": again.unreached,
            "unanswered": again.unanswered,
        },
        "lessons": [dict(zip(("number", "at_ns", "lesson"), each, strict=True)) for each in again.lessons],
        "questions": [
            {
                "number": each.number,
                "at_ns": each.at_ns,
                "symbol": each.symbol,
                "same": each.same,
                "was": each.was.as_dict(),
                "now": each.now.as_dict(),
            }
            for each in compared
        ],
    }


def _runs(runs: Runs) -> dict[str, Any]:
    figures = (*MONEY, *COUNTS)
    return {
        "baseline": {"run": runs.baseline["run"]} | {each: runs.baseline[each] for each in figures},
        "variant": {"run": runs.variant["run"]} | {each: runs.variant[each] for each in figures},
        "comparable": runs.comparable,
        "difference": {
            each: str(runs.difference(each)) if each in MONEY else runs.difference(each) for each in figures
        },
        "taken": runs.taken,
        "asked": runs.asked,
        "unrecorded": runs.unrecorded,
        "same": runs.same,
        "parted": [_parted(each) for each in runs.parted],
        "only_baseline": [_place(past) for past in runs.alone[0]],
        "only_variant": [_place(past) for past in runs.alone[1]],
    }


def _parted(parted: Parted) -> dict[str, Any]:
    words = {"baseline": parted.baseline.as_dict(), "variant": parted.variant.as_dict()}
    return {"at_ns": parted.at_ns} | parted.place._asdict() | words


def _place(past: Past) -> dict[str, Any]:
    decided = past.decision.verdict if past.decision else None
    return {"at_ns": past.question.at_ns} | past.place._asdict() | {"verdict": decided}
