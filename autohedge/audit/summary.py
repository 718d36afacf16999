"""The totals of a run as labelled facts: four headline figures, then what explains them."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from autohedge.audit import turns
from autohedge.audit.audit import Audit, Operation
from autohedge.audit.figures import count, duration, money, short_id, utc_text
from autohedge.audit.prompt_history import PromptVersion
from autohedge.audit.text import version_text
from autohedge.config.changes import describe_changes
from autohedge.core.clock import format_utc
from autohedge.core.events import SettingsChanged
from autohedge.llm.errors import one_line
from autohedge.records.round_trips import TripStats

RULES = "rules"
RULES_NOTE = "rules, a written formula: no model was asked"
NO_AGENT = "checks before any agent"
OPERATIONS_MAX = 20


class Fact(NamedTuple):
    """One labelled figure; `detail` explains it and may be empty."""

    label: str
    value: str
    detail: str = ""

    @property
    def text(self) -> str:
        """The value and its detail in one line."""
        return f"{self.value}; {self.detail}" if self.detail else self.value


def headline_facts(audit: Audit) -> list[Fact]:
    """Returns the figures that a reader looks for first."""
    total, stats, calls = totals(audit), audit.stats, audit.call_stats
    trips = [f"{total.gained} profitable"] if total.closed else [] if audit.groups else ["no order sent"]
    trips += [f"{number} {name}" for number, name in _unfinished(total) if number]
    requests = [f"{calls.repaired} repaired"] if calls.repaired else []
    requests += [f"{audit.sources[key]:,} {name}" for key, name in _SPARED.items() if audit.sources[key]]
    amounts = f"gross {money(total.realized)}, fees {money(total.fees, signed=False)}" if total.closed else ""
    label = "Requests" if audit.provider == RULES else "LLM requests"
    return [
        Fact("Net P&L", money(total.net), amounts),
        Fact("Round trips", f"{total.closed:,} closed", ", ".join(trips)),
        Fact("Questions", f"{stats.asked:,}", _counts(stats.outcomes)),
        Fact(label, f"{calls.calls:,}", ", ".join(requests)),
    ]


_SPARED = {"cache": "cache hits", "bypass": "bypassed"}


def _unfinished(total: TripStats) -> tuple[tuple[int, str], ...]:
    return (total.still_open, "open"), (total.unfilled, "unfilled")


def totals(audit: Audit) -> TripStats:
    """Returns the sums over all round trips of the run."""
    groups = list(audit.groups.values())
    return TripStats(
        closed=sum(group.closed for group in groups),
        gained=sum(group.gained for group in groups),
        realized=sum((group.realized for group in groups), Decimal(0)),
        fees=sum((group.fees for group in groups), Decimal(0)),
        still_open=sum(group.still_open for group in groups),
        unfilled=sum(group.unfilled for group in groups),
    )


def detail_facts(audit: Audit) -> Iterator[Fact]:
    """Yields who answered, who refused, what failed, and what else a reader should know."""
    yield Fact("Answered by", RULES_NOTE if audit.provider == RULES else _server(audit))
    for label, value in (
        ("Refused by", _refusals(audit.stats.refusals)),
        ("Abstained", _counts(audit.stats.abstentions)),
        ("Engine", _counts(_engine_codes(audit))),
        ("Tokens", _tokens(audit)),
        ("Cost", audit.stats.spend.cost_text),
        ("Latency", _latency(audit)),
    ):
        if value:
            yield Fact(label, value)
    yield from _operations(audit)
    yield from _cautions(audit)


def _operations(audit: Audit) -> Iterator[Fact]:
    """Yields the last commands of operators and changes of settings, each with its time, actor and reason."""
    earlier = len(audit.operations) - OPERATIONS_MAX
    if earlier > 0:
        yield Fact("Operator", f"{count(earlier, 'earlier command')} in the journal")
    for each in audit.operations[-OPERATIONS_MAX:]:
        label = "Settings" if isinstance(each, SettingsChanged) else "Operator"
        yield Fact(label, f"{utc_text(each.at_ns)}: {one_line(_operation(each))}")


def _operation(operation: Operation) -> str:
    by = f" by {operation.actor}" if operation.actor else ""
    reason = f" ({operation.reason})" if operation.reason else ""
    if isinstance(operation, SettingsChanged):
        return f"settings changed{by}{reason}: {describe_changes(operation.changes)}"
    return f"{operation.command.replace('_', '-')}{by}{reason}"


def prompt_facts(audit: Audit) -> Iterator[Fact]:
    """Yields the prompts that requests were rendered from, and those that were edited during the run."""
    first = [_version(prompt) for prompt in used_prompts(audit) if not prompt.at_ns]
    if first:
        yield Fact("Prompts", ", ".join(first))
    for prompt in used_prompts(audit):
        if prompt.at_ns:
            since = f"from question {prompt.since} on"
            yield Fact("Prompt edit", f"{utc_text(prompt.at_ns)}: {_version(prompt)}, {since}")


def _cautions(audit: Audit) -> Iterator[Fact]:
    if unclaimed := audit.call_stats.unclaimed:
        yield Fact("Transcript", f"{count(unclaimed, 'request')} without a decision, as the run ended first")
    if lost := audit.call_stats.lost:
        yield Fact("Missing", f"{count(lost, 'line')} of the transcript, as a restart found it")
    if not audit.finished:
        yield Fact("Status", "not finished: shown as far as the journal goes")


def period_text(audit: Audit) -> str:
    """Returns the time of the tape that the run covers; empty if it covers none."""
    if not audit.last_ns:
        return ""
    first, last = format_utc(audit.first_ns)[:19], format_utc(audit.last_ns)[:19]
    end = last[11:] if first[:10] == last[:10] else last
    return f"{first} to {end} UTC ({duration(audit.last_ns - audit.first_ns)})"


def used_prompts(audit: Audit) -> list[PromptVersion]:
    """Returns the prompts that requests were rendered from, in the order in which they came into force."""
    return [prompt for prompt in audit.prompts if audit.requests[prompt.hash]]


def _version(prompt: PromptVersion) -> str:
    return f"{version_text(prompt.name, prompt.version)} ({short_id(prompt.hash)})".replace(", ", " ")


def _server(audit: Audit) -> str:
    return " · ".join(map(one_line, (audit.provider, audit.model, audit.server)))


def _engine_codes(audit: Audit) -> Counter[str]:
    """Returns the engine's own codes: those of agents and of abstentions are counted apart."""
    stats = audit.stats
    counted = stats.refusals.keys() | stats.abstentions.keys()
    return Counter({code: number for code, number in stats.proposals.items() if code not in counted})


def _tokens(audit: Audit) -> str:
    calls = audit.call_stats
    counted = calls.prompt_tokens + calls.completion_tokens
    return f"{calls.prompt_tokens:,} input, {calls.completion_tokens:,} output" if counted else ""


def _latency(audit: Audit) -> str:
    """Returns the times of the model's server; empty where nothing took time, as for the rules."""
    calls = audit.call_stats
    if not calls.slowest_ms and not calls.longest_queue_ms:
        return ""
    mean_ms = calls.service_ms / calls.calls
    queue = f"longest wait in the queue {calls.longest_queue_ms:,.0f} ms"
    return f"{mean_ms:,.0f} ms on average, {calls.slowest_ms:,.0f} ms at most, {queue}"


def _refusals(codes: Counter[str]) -> str:
    """Returns how often each agent refused: `Director 9 (no_trade), Quant 3 (2 refuted, 1 too_volatile)`."""
    by: dict[str, Counter[str]] = {}
    for code, number in codes.items():
        agent = turns.REFUSED_BY.get(code, "").capitalize()
        by.setdefault(agent or NO_AGENT, Counter())[code] += number
    most_first = sorted(by.items(), key=lambda item: -item[1].total())
    return ", ".join(f"{agent} {each.total():,} ({_codes(each)})" for agent, each in most_first)


def _codes(codes: Counter[str]) -> str:
    return _counts(codes) if len(codes) > 1 else one_line(next(iter(codes)))


def _counts(codes: Counter[str]) -> str:
    return ", ".join(f"{number:,} {one_line(code)}" for code, number in codes.most_common() if number)
