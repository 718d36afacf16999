"""The LangGraph state graph of the agents, the runtimes that run it, and its replay. Import the modules."""

__all__: list[str] = []
