"""One deliberation without a run: for people who edit prompts."""

from autohedge.asking.trial import Asked, Held, ask

__all__ = ["Asked", "Held", "ask"]
