"""The prompts of the agents: Markdown with named fields, versioned by their hash."""
