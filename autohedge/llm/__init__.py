"""The LLM client: requests, queue, retries, budget, parsing of answers, transcript. Import the modules."""

__all__: list[str] = []
