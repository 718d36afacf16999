"""The tree of errors: each class has its parent."""

import pytest

from autohedge.core import errors


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("Misconfigured", "AutoHedgeError"),
        ("Rejected", "AutoHedgeError"),
        ("Duplicate", "Rejected"),
        ("Ambiguous", "AutoHedgeError"),
        ("Retryable", "AutoHedgeError"),
        ("Unavailable", "AutoHedgeError"),
        ("Corrupt", "AutoHedgeError"),
        ("IllegalTransition", "Corrupt"),
    ],
)
def test_every_error_has_its_place_in_the_tree(name: str, parent: str) -> None:
    assert getattr(errors, name).__bases__ == (getattr(errors, parent),)


def test_an_unknown_outcome_is_neither_a_rejection_nor_worth_a_retry() -> None:
    assert not issubclass(errors.Ambiguous, errors.Rejected | errors.Retryable)
