"""Decides the cases on strategies, output and signals."""

from tests.cases.checks import Decide

DECISIONS: dict[str, Decide] = {}
