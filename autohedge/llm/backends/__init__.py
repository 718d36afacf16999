"""Backends: OpenAI-compatible servers, Ollama, the `rules` baseline, scripted and faulty ones. Import the modules."""

__all__: list[str] = []
