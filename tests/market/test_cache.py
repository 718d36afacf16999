"""The column cache under damage, races and bad directories."""

from pathlib import Path

import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market import cache
from autohedge.market.cache import Meta
from autohedge.market.tape import Kind


def fill(folder: Path) -> Meta:
    blocks = [
        {"ts": np.array([1]), "bid": np.array([1.5])},
        {"ts": np.array([2]), "bid": np.array([2.5])},
    ]
    rows = cache.write_columns(folder, blocks)
    return Meta(Kind.QUOTES, rows, ("ts", "bid"), "hash")


def no_fill(folder: Path) -> Meta:
    raise AssertionError(f"{folder} should not be filled")


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


@pytest.mark.parametrize("name", ["bid.f8", "ts.i8", "meta.json"])
def test_truncated_entry_is_rebuilt(cache_dir: Path, name: str) -> None:
    cache.find_or_build("key", fill)
    file = entry_folder(cache_dir, "key") / name
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.find("key") is None
    assert cache.find_or_build("key", fill).columns["bid"].tolist() == [1.5, 2.5]


def test_entry_without_a_column_is_rebuilt(cache_dir: Path) -> None:
    cache.find_or_build("key", fill)
    (entry_folder(cache_dir, "key") / "ts.i8").unlink()
    assert cache.find_or_build("key", fill).columns["ts"].tolist() == [1, 2]


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
        return Meta(Kind.QUOTES, cache.write_columns(folder, [{"ts": np.array([9])}]), ("ts",), "x")

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
