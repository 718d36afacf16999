"""Views of a record: round trips, and the export in the format of earlier bots."""

from autohedge.records.legacy_export import LegacyTradeExport, export_files
from autohedge.records.round_trips import RoundTrip, RoundTrips

__all__ = ["LegacyTradeExport", "RoundTrip", "RoundTrips", "export_files"]
