"""Gateway: sends trading commands to a remote venue and returns its events."""

from autohedge.gateway.gateway import VenueGateway
from autohedge.gateway.request_queue import RequestQueue

__all__ = ["RequestQueue", "VenueGateway"]
