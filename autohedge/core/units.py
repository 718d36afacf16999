"""Conversion factors between units, and the steps that amounts are rounded to."""

from decimal import Decimal

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_HOUR = 3_600 * NS_PER_S
NS_PER_DAY = 86_400 * NS_PER_S
MS_PER_MINUTE = 60_000
MS_PER_DAY = 86_400_000
S_PER_MINUTE = 60.0

BPS = Decimal("0.0001")
CENTS = Decimal("0.01")
