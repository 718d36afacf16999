"""The parts of a record that versions changed."""

import pytest

import autohedge
from autohedge.journal import versions
from autohedge.journal.versions import changed_since, version_number


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of changes as later versions fill it."""
    monkeypatch.setattr(versions, "CHANGED", {(0, 2): ("texts",), (0, 3): ("schema", "parser")})


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        ("0.1.0", ("texts", "schema", "parser")),
        ("0.2", ("schema", "parser")),
        ("0.2.9", ("schema", "parser")),
        ("0.3", ()),
        ("0.3.0", ()),
        ("0.10.0", ()),
        ("1.0", ()),
    ],
)
def test_parts_changed_since_a_version_are_those_of_later_ones(version: str, parts: tuple[str, ...]) -> None:
    assert changed_since(version) == parts


def test_todays_version_has_no_changed_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "CHANGED", {(999,): ("texts",)})
    assert changed_since(autohedge.__version__) == ()


@pytest.mark.parametrize("version", ["", "unknown", "v0.3", "٣.٠"])
def test_text_without_a_version_is_older_than_all(version: str) -> None:
    assert version_number(version) == ()
    assert changed_since(version) == ("texts", "schema", "parser")
