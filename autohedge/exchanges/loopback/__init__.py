"""The simulated venue in a process of its own, over a loopback connection: server, client, protocol, faults."""

__all__: list[str] = []
