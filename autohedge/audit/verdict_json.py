"""The scores of verdicts as JSON values; a figure without a value is null, and `undefined` beside it has its code."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from autohedge.audit.scores import BANDS
from autohedge.audit.touches import OUTCOMES, EntryOutcomes
from autohedge.audit.verdict_scores import MISSED, ScoredVerdicts, VerdictScores
from autohedge.audit.verdict_sentence import sentence
from autohedge.audit.verdicts import CACHE, RecordedVerdict, RunVerdicts, VerdictCosts


def scores_as_dict(scores: VerdictScores) -> dict[str, Any]:
    """Returns the scores as JSON values; `verdicts` has each verdict with its outcome."""
    return {
        "runs": [_run(run) for run in scores.runs],
        "counts": {
            "verdicts": len(scores.verdicts),
            "kinds": scores.kinds,
            "cached": sum(each.decision.source == CACHE for each in scores.verdicts),
            "late": sum(each.late for each in scores.verdicts),
            "without_answer": sum(each.terms is None for each in scores.verdicts),
            "without_verdict": dict(sum((run.without_verdict for run in scores.runs), Counter())),
        },
        "entries": _entries(scores),
        "missed": {name: _group(scores.missed[name]) for name in MISSED},
        "position": position(scores.verdicts),
        "agreement": agreement([share for run in scores.runs for share in run.sampled]),
        "costs": costs([run.costs for run in scores.runs], len(scores.verdicts)),
        "sentence": sentence(scores),
        "verdicts": list(_verdicts(scores)),
    }


def _run(run: RunVerdicts) -> dict[str, Any]:
    audit = run.audit
    return {
        "run": audit.run,
        "mode": audit.mode,
        "provider": audit.provider,
        "model": audit.model,
        "server": audit.server,
        "finished": audit.finished,
        "questions": sum(map(len, run.question_times.values())),
    }


def _group(scored: ScoredVerdicts) -> dict[str, Any]:
    rate, base = scored.hit_rate.as_dict(), scored.results.mean_base_rate
    if base is None:
        rate["undefined"]["base_rate"] = "no_base_rate" if rate["n"] else "no_outcomes"
    outcomes = Counter(scored.results.outcomes.outcome.tolist())
    counts = {name: outcomes[number] for number, name in enumerate(OUTCOMES)}
    return {"outcomes": counts, **rate, "base_rate": base}


def _entries(scores: VerdictScores) -> dict[str, Any]:
    bands = zip(BANDS, scores.bands, strict=True)
    return {
        **_group(scores.entries),
        "apart": scores.entries.apart,
        "return_bps": mean_returns(scores.entries.results.outcomes),
        "bands": [{"least_pct": least, "most_pct": most, **rate.as_dict()} for (least, most), rate in bands],
        "forecast": asdict(scores.forecast),
    }


def mean_returns(outcomes: EntryOutcomes) -> dict[str, Any]:
    """Returns the mean return after fees in bps of all decided entries, and of those with each outcome."""
    decided = np.isfinite(outcomes.return_bps)
    chosen = {"mean": decided} | {
        name: decided & (outcomes.outcome == number) for number, name in enumerate(OUTCOMES[:-1])
    }
    means = {
        name: float(outcomes.return_bps[rows].mean()) if rows.any() else None for name, rows in chosen.items()
    }
    return means | {"undefined": {name: "no_outcomes" for name, value in means.items() if value is None}}


def position(verdicts: Iterable[RecordedVerdict]) -> dict[str, Any]:
    """Returns how many verdicts are the decision that their prompt names first, and how many the second one."""
    places = Counter(each.position for each in verdicts)
    named = places[1] + places[2]
    share = {"first_share": places[1] / named if named else None}
    codes = {} if named else {"first_share": "not_named"}
    return {"first": places[1], "second": places[2], **share, "undefined": codes}


def agreement(shares_pct: Sequence[int]) -> dict[str, Any]:
    """Returns how far several samples of an answer agreed, from the share of each question in percent."""
    figures = {
        "mean_pct": sum(shares_pct) / len(shares_pct) if shares_pct else None,
        "unanimous_share": shares_pct.count(100) / len(shares_pct) if shares_pct else None,
    }
    codes = {} if shares_pct else dict.fromkeys(figures, "single_samples")
    return {"questions": len(shares_pct), **figures, "undefined": codes}


def costs(parts: Sequence[VerdictCosts], verdicts: int) -> dict[str, Any]:
    """Returns calls, tokens and seconds, in all and per verdict; `cost_usd` only if all runs have it."""
    counted = sum(part.counted for part in parts)
    totals: dict[str, Any] = {
        "calls": sum(part.calls for part in parts),
        "prompt_tokens": sum(part.prompt_tokens for part in parts) if counted else None,
        "completion_tokens": sum(part.completion_tokens for part in parts) if counted else None,
        "service_s": sum(part.service_s for part in parts),
    }
    known = [part.cost_usd for part in parts if part.cost_usd is not None]
    if len(known) == len(parts):
        totals["cost_usd"] = sum(known)
    per_verdict = {name: None if total is None else total / verdicts for name, total in totals.items()}
    codes = {name: "not_counted" for name, total in totals.items() if total is None}
    return totals | {"per_verdict": per_verdict, "undefined": codes}


def _verdicts(scores: VerdictScores) -> Iterable[dict[str, Any]]:
    found = scores.entries.results.outcomes
    columns = (found.outcome.tolist(), found.entry_ns.tolist(), found.exit_ns.tolist())
    rows = zip(scores.entries.verdicts, *columns, found.return_bps.tolist(), strict=True)
    outcomes = {(verdict.run, verdict.number): row for verdict, *row in rows}
    for verdict in scores.verdicts:
        yield _verdict(verdict) | _outcome(outcomes.get((verdict.run, verdict.number)))


def _verdict(verdict: RecordedVerdict) -> dict[str, Any]:
    decision = verdict.decision
    terms = verdict.terms._asdict() if verdict.terms else {}
    return {
        "run": verdict.run,
        "number": verdict.number,
        "symbol": verdict.symbol,
        "at_ns": verdict.at_ns,
        "kind": verdict.kind,
        "code": decision.code,
        "direction": decision.direction,
        "confidence_pct": decision.confidence_pct,
        "source": decision.source,
        "late": verdict.late,
        "target_bps": terms.get("target_bps"),
        "stop_bps": terms.get("stop_bps"),
        "horizon_minutes": terms.get("horizon_minutes"),
    }


def _outcome(row: Sequence[Any] | None) -> dict[str, Any]:
    """Returns the outcome of an entry; all null for a verdict that is none."""
    if row is None:
        return dict.fromkeys(("outcome", "entry_ns", "exit_ns", "return_bps"))
    outcome, entry_ns, exit_ns, return_bps = row
    return {
        "outcome": OUTCOMES[outcome],
        "entry_ns": entry_ns or None,
        "exit_ns": exit_ns or None,
        "return_bps": return_bps if exit_ns else None,
    }
