"""Exchanges: the simulated venue, fault injection, and the simulated venue as a server."""

from autohedge.exchanges.simulated import SimulatedVenue, VenueModel

__all__ = ["SimulatedVenue", "VenueModel"]
