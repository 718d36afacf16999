"""Compiled code on disk: reused by later processes, recompiled after an edit, optional."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import autohedge
from autohedge.kernels.code_files import INLINABLE, SUFFIXES, source_hash

pytestmark = pytest.mark.process

PACKAGE = Path(autohedge.__file__).parent
PROGRAM = """
import json
from autohedge.kernels.state import check_one, new_states, state_dtype
lanes = new_states(state_dtype([]), 1)
code = check_one(lanes, 0, 10.0, 9.0)
hits = sum(check_one.stats.cache_hits.values())
print(json.dumps({"code": code, "counted": int(lanes["counts"].sum()), "hits": hits}))
"""


def _copy(folder: Path) -> Path:
    """Copies the package, as a checkout of a user would have it."""
    target = folder / "autohedge"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def _run(package: Path, cache: Path, before: str = "") -> dict[str, Any]:
    """Runs a process that compiles or loads one kernel of that copy and calls it."""
    output, _ = _run_with_errors(package, cache, before)
    return output


def _run_with_errors(package: Path, cache: Path, before: str = "") -> tuple[dict[str, Any], list[str]]:
    """Returns what that process prints, and the lines of its stderr; `before` is code that it runs first."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM],
        env=env,
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr.splitlines()


def _machine_code(cache: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb*")}


def test_second_process_loads_compiled_code_until_inlined_source_edited(
    tmp_path: Path,
) -> None:
    package, cache = _copy(tmp_path), tmp_path / "cache"
    assert _run(package, cache) == {"code": 0, "counted": 1, "hits": 0}
    cached = _machine_code(cache)
    assert any(path.suffix == ".nbc" for path in cached)
    assert _run(package, cache) == {"code": 0, "counted": 1, "hits": 1}
    assert _machine_code(cache) == cached
    _replace(package / "core" / "reasons.py", "BAD_QUOTE = 0", "EXIT_PENDING = 0")
    _replace(package / "core" / "reasons.py", "    EXIT_PENDING = 1", "    BAD_QUOTE = 1")
    assert _run(package, cache) == {"code": 1, "counted": 1, "hits": 0}
    assert cached.items() < _machine_code(cache).items()


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_unwritable_cache_does_not_prevent_running(tmp_path: Path) -> None:
    package, file = _copy(tmp_path), tmp_path / "file"
    file.write_text("not a directory")
    assert _run(package, file / "below") == {"code": 0, "counted": 1, "hits": 0}
    assert file.read_text() == "not a directory"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in a folder with a cache of compiled code."""
    folder = tmp_path_factory.mktemp("kept")
    _run(_copy(folder), folder / "cache")
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_code_is_compiled_again_with_one_line(kept: Path, tmp_path: Path, suffix: str) -> None:
    package, cache = kept / "autohedge", shutil.copytree(kept / "cache", tmp_path / "cache")
    for path in cache.rglob(f"*{suffix}"):
        path.write_bytes(path.read_bytes()[:100])
    answer, errors = _run_with_errors(package, cache)
    assert answer == {"code": 0, "counted": 1, "hits": 0}
    assert len(errors) == 1 and "damaged" in errors[0] and str(cache) in errors[0]
    assert _run_with_errors(package, cache) == ({"code": 0, "counted": 1, "hits": 1}, [])


def test_full_disk_does_not_prevent_compiling(kept: Path, tmp_path: Path) -> None:
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
    answer, errors = _run_with_errors(kept / "autohedge", tmp_path, limited)
    assert answer == {"code": 0, "counted": 1, "hits": 0}
    assert len(errors) == 1 and "cannot be cached" in errors[0]
    assert _run(kept / "autohedge", tmp_path) == {"code": 0, "counted": 1, "hits": 0}


def test_unwritable_folder_of_kernels_compiles_without_keeping(kept: Path, tmp_path: Path) -> None:
    package, cache = kept / "autohedge", shutil.copytree(kept / "cache", tmp_path / "cache")
    (folder,) = {path.parent for path in cache.rglob("*.nb*")}
    shutil.rmtree(folder)
    folder.write_text("not a directory")
    answer, errors = _run_with_errors(package, cache)
    assert answer == {"code": 0, "counted": 1, "hits": 0}
    assert len(errors) == 1 and "cannot be cached" in errors[0]
    # Code beside the sources would outlive an edit of a source that is inlined.
    assert not _machine_code(cache) and not _machine_code(package)


INLINED = [
    "kernels/state.py",
    "kernels/momentum.py",
    "kernels/jit.py",
    "kernels/code_cache.py",
    "strategies/python.py",
    "core/reasons.py",
]


@pytest.mark.parametrize("name", INLINED)
def test_an_edit_of_a_source_that_can_be_inlined_changes_the_hash(tmp_path: Path, name: str) -> None:
    package = _copy(tmp_path)
    assert source_hash(package) == source_hash()
    with (package / name).open("a") as file:
        file.write("\n# edited\n")
    assert source_hash(package) != source_hash()


def test_a_new_or_renamed_kernel_changes_the_hash(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    (package / "kernels" / "breakout.py").write_text("")
    added = source_hash(package)
    (package / "kernels" / "breakout.py").rename(package / "kernels" / "breakdown.py")
    assert len({source_hash(), added, source_hash(package)}) == 3


def test_source_hash_edit_outside_inlinable_sources_is_unchanged(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    _replace(package / "core" / "clock.py", "NEVER = 2**63 - 1", "NEVER = 2**62")
    assert source_hash(package) == source_hash()
    assert all((package / part).exists() for part in INLINABLE)
