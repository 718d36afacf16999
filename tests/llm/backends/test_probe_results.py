"""The verdict of the last probe in the cache folder: whose it is, and how long it counts."""

from pathlib import Path

import msgspec
import pytest

from autohedge.core.units import NS_PER_DAY
from autohedge.llm.backends import capabilities
from autohedge.llm.backends.cache_files import cache_file
from autohedge.llm.backends.probe_results import FOLDER, ProbeResult, last_probe, store_probe
from tests.run_harness import settings

OPENAI = {"llm__provider": '"openai"', "llm__base_url": '"http://a/v1"'}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of a test."""
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path))
    return tmp_path


def _result() -> ProbeResult:
    return ProbeResult.of(settings(**OPENAI), "director", "m", "answers by position")


def test_last_result_of_the_configured_model_is_found(cache: Path) -> None:
    assert last_probe(settings(**OPENAI), "director") is None
    store_probe(_result())
    later = msgspec.structs.replace(_result(), verdict="reads")
    store_probe(later)
    assert last_probe(settings(**OPENAI), "director") == later
    assert len(list((cache / FOLDER).iterdir())) == 1
    assert list(capabilities.stored()) == []


@pytest.mark.parametrize(
    "changes", [{"llm__base_url": '"http://b/v1"'}, {"llm__model": '"n"'}, {"agents__director__model": '"n"'}]
)
def test_result_counts_for_its_settings_only(changes: dict[str, str]) -> None:
    store_probe(_result())
    assert last_probe(settings(**OPENAI | changes), "director") is None
    assert last_probe(settings(**OPENAI), "quant") is None


@pytest.mark.parametrize("change", [{"version": "0.0.1"}, {"probed_ns": 1}, {"configured": ("x",)}])
def test_old_or_copied_result_does_not_count(change: dict[str, object]) -> None:
    path = cache_file(FOLDER, _result().configured)
    store_probe(_result())
    assert last_probe(settings(**OPENAI), "director")
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(_result(), **change)))
    assert last_probe(settings(**OPENAI), "director") is None


def test_result_expires_after_thirty_days() -> None:
    fresh = _result()
    for days, counts in ((29, True), (31, False), (-1, False)):
        store_probe(msgspec.structs.replace(fresh, probed_ns=fresh.probed_ns - days * NS_PER_DAY))
        assert (last_probe(settings(**OPENAI), "director") is not None) is counts


def test_damaged_result_and_folder_that_cannot_be_written_are_ignored(cache: Path) -> None:
    (cache / FOLDER).touch()
    store_probe(_result())
    assert last_probe(settings(**OPENAI), "director") is None
    (cache / FOLDER).unlink()
    store_probe(_result())
    cache_file(FOLDER, _result().configured).write_bytes(b"{")
    assert last_probe(settings(**OPENAI), "director") is None
