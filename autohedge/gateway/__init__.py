"""Carries trading commands to a venue and its events back: deadlines, request queue, outcomes of failed requests."""

from autohedge.gateway.gateway import VenueGateway
from autohedge.gateway.request_queue import RequestQueue

__all__ = ["RequestQueue", "VenueGateway"]
