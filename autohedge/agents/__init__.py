"""The agents: each a prompt, a schema, a function."""
