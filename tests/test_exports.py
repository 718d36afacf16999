"""What packages say they export is there, once, and in order."""

import importlib
import pkgutil

import pytest

import autohedge

PACKAGES = [found.name for found in pkgutil.iter_modules(autohedge.__path__, "autohedge.") if found.ispkg]


@pytest.mark.parametrize("name", PACKAGES)
def test_exports_exist_and_are_sorted(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__
    exported = getattr(package, "__all__", [])
    assert exported == sorted(exported)
    assert all(hasattr(package, each) for each in exported)
