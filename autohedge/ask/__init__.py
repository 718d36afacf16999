"""One deliberation without a run: for people who edit prompts."""

from autohedge.ask.dry_run import AssumedPosition, DryRunResult, ask

__all__ = ["AssumedPosition", "DryRunResult", "ask"]
