"""The column cache under damage, changes, races and bad directories."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.core.open_files import raise_open_files
from autohedge.market import SyntheticSpec, cache, synthesize
from autohedge.market.cache import Meta
from autohedge.market.column_file import MAPPED_BYTES_LEAST, write_columns
from autohedge.market.columns import Column
from autohedge.market.stream import Kind


def filled(folder: Path, *blocks: dict[str, Column]) -> Meta:
    written = write_columns(folder, blocks, sum(len(block["ts"]) for block in blocks))
    return Meta(Kind.QUOTES, written.rows, written.columns, "hash")


def fill(folder: Path) -> Meta:
    return filled(
        folder,
        {"ts": np.array([1]), "bid": np.array([1.5])},
        {"ts": np.array([2]), "bid": np.array([2.5])},
    )


def fill_large(folder: Path) -> Meta:
    return filled(folder, {"ts": np.arange(MAPPED_BYTES_LEAST // 8)})


def flip(path: Path, position: int) -> None:
    """Changes one bit of a file, and nothing of its size and times."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def no_fill(folder: Path) -> Meta:
    raise AssertionError(f"{folder} should not be filled")


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    """Opened descriptors, which are closed after the test; no more than 64 can be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    opened: list[int] = []
    yield opened
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def entry_folder(cache_dir: Path, key: str) -> Path:
    return cache_dir / "tapes" / key


def test_cached_entry_is_reused() -> None:
    cache.find_or_build("key", fill)
    entry = cache.find_or_build("key", no_fill)
    assert entry.meta.rows == 2
    assert entry.columns["ts"].tolist() == [1, 2]
    assert entry.columns["bid"].tolist() == [1.5, 2.5]


def test_columns_are_plain_and_read_only() -> None:
    column = cache.find_or_build("key", fill).columns["bid"]
    assert type(column) is np.ndarray
    assert column.flags.c_contiguous
    assert not column.flags.writeable


@pytest.mark.parametrize("name", ["columns", "meta.json"])
def test_truncated_entry_is_rebuilt(cache_dir: Path, name: str) -> None:
    cache.find_or_build("key", fill)
    file = entry_folder(cache_dir, "key") / name
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.find("key") is None
    assert cache.find_or_build("key", fill).columns["bid"].tolist() == [1.5, 2.5]


def test_entry_without_a_column_is_rebuilt(cache_dir: Path) -> None:
    cache.find_or_build("key", fill)
    (entry_folder(cache_dir, "key") / "columns").unlink()
    assert cache.find_or_build("key", fill).columns["ts"].tolist() == [1, 2]


@pytest.mark.parametrize("content", [fill, fill_large])
@pytest.mark.parametrize("position", [0, 8, -1])
def test_changed_column_is_noticed_and_rebuilt(
    cache_dir: Path, capsys: pytest.CaptureFixture[str], content: Callable[[Path], Meta], position: int
) -> None:
    before = cache.find_or_build("key", content).columns["ts"].tolist()
    flip(entry_folder(cache_dir, "key") / "columns", position)
    assert cache.find_or_build("key", content).columns["ts"].tolist() == before
    (line,) = capsys.readouterr().err.splitlines()
    assert "a cached tape was changed or damaged" in line and "imported again" in line


def test_changed_facts_of_an_entry_are_noticed(cache_dir: Path) -> None:
    cache.find_or_build("key", fill)
    facts = entry_folder(cache_dir, "key") / "meta.json"
    facts.write_bytes(facts.read_bytes().replace(b'"interval_ns":0', b'"interval_ns":9'))
    assert cache.find("key") is None


def test_entry_under_the_key_of_another_is_noticed(cache_dir: Path) -> None:
    cache.find_or_build("key", fill)
    shutil.copytree(entry_folder(cache_dir, "key"), entry_folder(cache_dir, "other"))
    assert cache.find("other") is None


def test_damaged_entries_are_listed(cache_dir: Path) -> None:
    for key in ("sound", "changed", "cut"):
        cache.find_or_build(key, fill)
    flip(entry_folder(cache_dir, "changed") / "columns", 0)
    (entry_folder(cache_dir, "cut") / "columns").write_bytes(b"")
    assert [folder.name for folder in cache.user_cache().damaged()] == ["changed", "cut"]


def test_small_entries_keep_no_file_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    tape = synthesize(SyntheticSpec(tuple(f"S{number}" for number in range(40)), hours=0.01))
    assert len(tape.symbols) == 40
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_limit_of_open_files_is_named_when_it_is_reached(descriptors: list[int]) -> None:
    cache.find_or_build("key", fill)
    with suppress(OSError):
        while True:
            descriptors.append(os.dup(0))
    with pytest.raises(Misconfigured, match=r"limit of open files \(64\) is reached.*ulimit -n"):
        cache.find("key")
    with pytest.raises(Misconfigured, match="limit of open files"):
        cache.build("other", fill)


def test_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 128), hard))
        raise_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_failed_build_leaves_no_files(cache_dir: Path) -> None:
    def stop(folder: Path) -> Meta:
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.build("key", stop)
    assert list((cache_dir / "tapes").iterdir()) == []


def test_first_of_two_builders_to_finish_wins() -> None:
    def overtaken(folder: Path) -> Meta:
        cache.build("key", fill)
        return filled(folder, {"ts": np.array([9])})

    assert cache.build("key", overtaken).columns["ts"].tolist() == [1, 2]


def test_no_working_files_stay_behind(cache_dir: Path) -> None:
    cache.find_or_build("key", fill)
    assert [path.name for path in (cache_dir / "tapes").iterdir()] == ["key"]


def test_an_unwritable_cache_is_replaced_for_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a directory")
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(occupied))
    cache.find_or_build("stand-in", fill)
    assert cache.find_or_build("stand-in", no_fill).columns["ts"].tolist() == [1, 2]


def test_an_error_while_writing_names_the_cure() -> None:
    def full(folder: Path) -> Meta:
        raise OSError(28, "No space left on device", str(folder))

    with pytest.raises(Misconfigured, match=r"No space left on device.*AUTOHEDGE_CACHE_DIR"):
        cache.build("key", full)


def test_keys_differ_by_their_parts() -> None:
    assert cache.key_of("a", 1, None) == cache.key_of("a", 1, None)
    assert len({cache.key_of("a"), cache.key_of("b"), cache.key_of("a", None)}) == 3
