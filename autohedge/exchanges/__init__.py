"""Venues: each behind the gateway seam, none knowing another."""
