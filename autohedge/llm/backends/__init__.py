"""Backends: OpenAI-compatible servers, Ollama, the `rules` baseline, scripts, chaos. Import the modules."""

__all__: list[str] = []
