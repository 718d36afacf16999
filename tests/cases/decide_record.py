"""Decides the cases on the record of a run."""

from tests.cases.checks import Decide

DECISIONS: dict[str, Decide] = {}
