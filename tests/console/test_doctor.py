"""Tests that the doctor finds faults of the machine and names their cure."""

import os
from pathlib import Path

import msgspec
import pytest

from autohedge.config import load
from autohedge.console.doctor import (
    FREE_BYTES_LEAST,
    clock,
    compiled_code,
    models,
    probes,
    room,
    run_checks,
    tape_cache,
    writable,
)
from autohedge.core.clock import wall_ns
from autohedge.core.units import NS_PER_DAY
from autohedge.journal import Journal, RunFolder
from autohedge.journal.chain import BufferedStore
from autohedge.kernels.code_files import with_digest
from autohedge.llm.backends.capabilities import ModelCapability, store
from autohedge.llm.backends.probe_results import ProbeResult, store_probe
from autohedge.market import SyntheticSpec, synthesize
from tests.report_factory import run_report


def _bad(monkeypatch: pytest.MonkeyPatch, variable: str, directory: Path) -> list[str]:
    monkeypatch.setenv(variable, str(directory))
    return [finding.check for finding in run_checks() if not finding.ok]


def test_healthy_machine_has_no_failed_check(workplace: Path) -> None:
    assert [finding for finding in run_checks() if not finding.ok] == []
    assert list(workplace.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_found(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workplace / "file").touch()
    assert _bad(monkeypatch, "NUMBA_CACHE_DIR", workplace / "file" / "jit") == ["compiled code"]


def test_a_tape_cache_that_cannot_be_written_is_found(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "file").touch()
    assert _bad(monkeypatch, "AUTOHEDGE_CACHE_DIR", workplace / "file") == ["tape cache"]


def test_a_changed_tape_in_the_cache_is_found(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = workplace / "cache"
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(cache))
    synthesize(SyntheticSpec(("A/USD",), hours=0.01))
    (columns,) = cache.rglob("columns")
    assert _bad(monkeypatch, "AUTOHEDGE_CACHE_DIR", cache) == []
    assert tape_cache(cache).message.startswith(f"{cache} (1 tapes, ")
    columns.write_bytes(bytes(columns.stat().st_size))
    assert _bad(monkeypatch, "AUTOHEDGE_CACHE_DIR", cache) == ["tape cache"]


def test_damaged_compiled_code_is_found_with_its_cure(tmp_path: Path) -> None:
    path = tmp_path / "jit" / "sources" / "kernels" / "scan.1.nbc"
    assert compiled_code(tmp_path / "jit" / "sources").message == f"{tmp_path / 'jit'} (0 files)"
    path.parent.mkdir(parents=True)
    path.write_bytes(with_digest(path, b"machine code"))
    assert compiled_code(tmp_path / "jit" / "sources").ok
    path.write_bytes(path.read_bytes()[:-1])
    finding = compiled_code(tmp_path / "jit" / "sources")
    assert not finding.ok
    assert "scan.1.nbc" in finding.message and "delete" in finding.message


def test_model_is_shown_with_how_it_is_asked(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(workplace / "cache"))
    assert list(models()) == []
    part = {"auto": {"reasoning_effort": "none"}}
    way = ModelCapability(
        "http://a/v1", "m\x1b", "vllm", "text", limit="max_completion_tokens", thinking=part
    )
    store(msgspec.structs.replace(way, temperature=False, least_tokens=1200))
    [finding] = models()
    assert finding.ok and finding.message.isprintable()
    for fact in ("http://a/v1", "text", "max_completion_tokens at least 1200", "no temperature", "none"):
        assert fact in finding.message


def test_model_of_the_settings_that_failed_its_probe_is_found(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(workplace / "cache"))
    Path("config.toml").write_text('[llm]\nprovider = "ollama"\nmodel = "m"\n')
    store_probe(ProbeResult.of(load(), "director", "m\x1b", "answers by position"))
    store_probe(ProbeResult.of(load(), "quant", "m", "reads"))
    [finding] = probes()
    assert not finding.ok and finding.message.isprintable()
    assert "as director: answers by position (probed at" in finding.message
    Path("config.toml").write_text("[llm]\nmodel = 3\n")
    assert list(probes()) == []


def test_failed_check_names_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = writable("cache", tmp_path / "file" / "below", "set IT elsewhere")
    assert not finding.ok
    assert finding.message.endswith("set IT elsewhere")


def test_a_full_disk_is_found() -> None:
    assert room(FREE_BYTES_LEAST).ok
    assert not room(FREE_BYTES_LEAST - 1).ok


def test_a_clock_before_this_release_is_found(workplace: Path) -> None:
    assert clock(wall_ns()).ok
    finding = clock(1_700_000_000_000_000_000)
    assert not finding.ok
    assert "before this release" in finding.message


def test_a_clock_before_the_newest_run_is_found(workplace: Path) -> None:
    folder = RunFolder.create_draft("29990101T000000-momentum-abcdef")
    Journal.begin(BufferedStore(folder.journal), {}).close()
    folder.publish("29990101T000000-momentum-abcdef")
    finding = clock(wall_ns())
    assert not finding.ok
    assert "before the newest run (2999-01-01" in finding.message
    assert clock(wall_ns() + 980 * 366 * NS_PER_DAY).ok


def test_a_clock_before_the_last_writing_of_a_record_is_found(workplace: Path) -> None:
    folder = RunFolder.create_draft("20250101T000000-momentum-abcdef")
    Journal.begin(BufferedStore(folder.journal), {}).close()
    written = folder.publish("20250101T000000-momentum-abcdef").journal
    assert clock(wall_ns()).ok
    os.utime(written, ns=(wall_ns(), wall_ns() + NS_PER_DAY))
    assert not clock(wall_ns()).ok


def test_settings_that_are_wrong_are_found(workplace: Path) -> None:
    Path("config.toml").write_text("[momentum]\nlokback = 3\n")
    bad = [finding for finding in run_checks() if not finding.ok]
    assert [finding.check for finding in bad] == ["settings"]
    assert "did you mean momentum.lookback?" in bad[0].message


def test_models_of_a_remote_server_without_a_price_are_named(workplace: Path) -> None:
    Path("config.toml").write_text('[llm]\nprovider = "openai"\nmodel = "gpt-4o"\n')
    (found,) = (each for each in run_checks() if each.check == "price")
    assert found.ok and found.message == (
        'gpt-4o has no price: set price_in and price_out in [models."gpt-4o"]'
    )


def test_a_tape_from_before_a_cutoff_is_named(workplace: Path) -> None:
    Path("config.toml").write_text('[llm]\nmodel = "m"\n[models.m]\nknowledge_cutoff = "2025-01-01"\n')
    folder = Path("runs/r1")
    folder.mkdir(parents=True)
    Journal.begin(BufferedStore(folder / "journal.jsonl"), {}).close()
    encode = msgspec.json.Encoder(decimal_format="string").encode
    (folder / "results.json").write_bytes(encode(run_report(first_ns=1, last_ns=2)))
    (found,) = (each for each in run_checks() if each.message.startswith("run "))
    assert found.ok and "run r1: the model may know what happened: the tape begins on 1970" in found.message
