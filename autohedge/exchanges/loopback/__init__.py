"""The simulated venue as a server in its own process: server, client, protocol and faults."""

__all__: list[str] = []
