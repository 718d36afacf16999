"""When agents are asked, what they are shown, and what their decisions change: gates, proposals, lessons."""

from autohedge.engine.deliberations.coordinator import DeliberationCoordinator

__all__ = ["DeliberationCoordinator"]
