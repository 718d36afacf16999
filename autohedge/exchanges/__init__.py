"""Venues behind the gateway: the simulated venue, fault injection, and the simulated venue as a process."""

from autohedge.exchanges.simulated import SimulatedVenue, VenueModel

__all__ = ["SimulatedVenue", "VenueModel"]
