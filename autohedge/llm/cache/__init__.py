"""The verdict cache and the semaphore of LLM slots, in memory or shared through Redis. Import the modules."""

__all__: list[str] = []
