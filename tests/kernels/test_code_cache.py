"""The files of compiled code: what is read back, and what counts as damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge.kernels.code_cache import VerifiedCacheFile
from autohedge.kernels.code_files import SUFFIXES, kept_files, read_intact, with_digest

Damage = Callable[[Path], object]


def _files(folder: Path, stamp: str = "sources") -> VerifiedCacheFile:
    return VerifiedCacheFile(str(folder), "kernel", stamp)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _cut_into_the_digest(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _change_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _make_unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)  # a loop: not even root can read it


DAMAGES = [_cut, _cut_into_the_digest, _empty, _change_one_bit, _append, _make_unreadable]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_found_left_out_and_replaced(tmp_path: Path, suffix: str, damage: Damage) -> None:
    files = _files(tmp_path)
    files.save("key", b"machine code")
    assert files.load("key") == b"machine code"
    (path,) = tmp_path.glob(f"*{suffix}")
    damage(path)
    assert [kept for kept, intact in kept_files(tmp_path) if not intact] == [path]
    assert files.load("key") is None
    files.save("key", b"machine code")
    assert files.load("key") == b"machine code"
    assert all(intact for _, intact in kept_files(tmp_path))


def test_absent_file_or_code_of_an_edited_source_is_no_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _files(tmp_path).load("key") is None
    _files(tmp_path).save("key", b"machine code")
    assert _files(tmp_path, "edited").load("key") is None
    assert capsys.readouterr().err == ""


def test_intact_code_of_another_key_is_not_taken(tmp_path: Path) -> None:
    files = _files(tmp_path)
    files.save("one", b"code of one")
    files.save("two", b"code of two")
    one, two = sorted(tmp_path.glob("*.nbc"))
    content = read_intact(two)
    assert content is not None
    one.write_bytes(with_digest(one, content))
    assert (files.load("one"), files.load("two")) == (None, b"code of two")


def test_file_under_the_name_of_another_is_damaged(tmp_path: Path) -> None:
    files = _files(tmp_path)
    files.save("one", b"code of one")
    files.save("two", b"code of two")
    one, two = sorted(tmp_path.glob("*.nbc"))
    two.replace(one)
    assert next(iter(kept_files(tmp_path))) == (one, False)
    assert files.load("one") is None
