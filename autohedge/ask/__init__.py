"""A single deliberation outside a run, for editing prompts: `autohedge ask`."""

from autohedge.ask.dry_run import AssumedPosition, DryRunResult, ask

__all__ = ["AssumedPosition", "DryRunResult", "ask"]
