"""A study as JSON values."""

from collections.abc import Sequence
from typing import Any

from autohedge.core.results import RunReport
from autohedge.whatif.reask import ReaskResult
from autohedge.whatif.recorded_run import RecordedQuestion
from autohedge.whatif.simulations import MONEY, Divergence, RunPair, figure_of
from autohedge.whatif.study import Study


def as_dict(study: Study) -> dict[str, Any]:
    """Returns the whole study with every question; amounts of money are exact strings."""
    return {
        "run": study.record.folder.id,
        "on_clock": study.record.on_clock,
        "change": list(study.plan.differences),
        "again": _reask_as_dict(study.reasked),
        "runs": _runs(study.runs) | {"reproduced": study.reproduced},
    }


def _reask_as_dict(reasked: ReaskResult) -> dict[str, Any]:
    compared = reasked.compared
    return {
        "silent": reasked.no_question_reason or None,
        "who": {"provider": reasked.who.provider, "model": reasked.who.model, "server": reasked.who.server},
        "same": len(compared) - len(reasked.changed),
        "changed": len(reasked.changed),
        "ways": dict(reasked.transitions),
        "abstentions": {
            "was": dict(reasked.abstentions(now=False)),
            "now": dict(reasked.abstentions(now=True)),
        },
        "taken": reasked.reused,
        "asked": reasked.sent_count,
        "not_asked": {
            "bypass": reasked.bypassed,
            "cache": reasked.cached,
            "unreached": reasked.unreached,
            "unanswered": reasked.unanswered,
        },
        "lessons": [dict(zip(("number", "at_ns", "lesson"), each, strict=True)) for each in reasked.lessons],
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


def _runs(runs: RunPair) -> dict[str, Any]:
    figures = runs.figures
    return {
        "baseline": _figures(runs.baseline, figures),
        "variant": _figures(runs.variant, figures),
        "comparable": runs.comparable,
        "difference": {
            each: str(runs.difference(each)) if each in MONEY else runs.difference(each) for each in figures
        },
        "taken": runs.reused,
        "asked": runs.sent_count,
        "unrecorded": runs.unrecorded,
        "same": runs.same,
        "parted": [_divergence_as_dict(each) for each in runs.divergences],
        "only_baseline": [_place(past) for past in runs.unmatched[0]],
        "only_variant": [_place(past) for past in runs.unmatched[1]],
    }


def _figures(report: RunReport, figures: Sequence[str]) -> dict[str, Any]:
    values = {each: figure_of(report, each) for each in figures}
    return {"run": report.run} | {each: str(v) if each in MONEY else v for each, v in values.items()}


def _divergence_as_dict(divergence: Divergence) -> dict[str, Any]:
    decisions = {"baseline": divergence.baseline.as_dict(), "variant": divergence.variant.as_dict()}
    return {"at_ns": divergence.at_ns} | divergence.place._asdict() | decisions


def _place(past: RecordedQuestion) -> dict[str, Any]:
    decided = past.decision.verdict if past.decision else None
    return {"at_ns": past.question.at_ns} | past.place._asdict() | {"verdict": decided}
