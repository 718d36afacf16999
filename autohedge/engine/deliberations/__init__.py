"""Deliberations: when agents are asked, what they are shown, and what decisions change."""

from autohedge.engine.deliberations.coordinator import DeliberationCoordinator

__all__ = ["DeliberationCoordinator"]
