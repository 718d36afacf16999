"""Files as users have them: packed, or text in another encoding than UTF-8."""

import codecs
import gzip
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line

_HEAD_BYTES = 4_096
_BLOCK_CHARS = 1 << 20
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_WIDE_MARKS = (
    # Longest first: the mark of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMED = {
    b"PK\x05\x06": "an empty ZIP archive; name a file with rows",
    b"BZh": "a bzip2 archive; unpack it first",
    b"\xfd7zXZ": "an xz archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save it as CSV",
    b"\x89HDF": "an HDF5 file; convert it to Parquet or CSV",
    b"ARROW1": "an Arrow file; convert it to Parquet or CSV",
    b"FEA1": "a Feather file; convert it to Parquet or CSV",
    b"ORC": "an ORC file; convert it to Parquet or CSV",
    b"SQLite format 3": "an SQLite database; export it as CSV",
    b"%PDF": "a PDF; name a Parquet or CSV file",
}
_TAR_MARK, _TAR_OFFSET = b"ustar", 257
_NAMES_SHOWN = 3
_NAME_CHARS = 60


def plain_file(path: Path, scratch: Path) -> Path:
    """Returns the file itself, or a copy in the folder `scratch` that is unpacked and in UTF-8.

    Raises Misconfigured if the file is empty, is in a format that is not read, or cannot be unpacked.
    """
    plain, head = _unpacked(path, scratch)
    if not head:
        raise Misconfigured(f"{path}: the file is empty; name a file with rows")
    format_ = _format(head)
    if format_:
        raise Misconfigured(f"{path}: is {format_}")
    encoding = next((name for mark, name in _WIDE_MARKS if head.startswith(mark)), None)
    if encoding:
        return _in_utf8(plain, scratch, encoding, str(path))
    if (
        b"\r" in head and b"\n" not in head and b"\0" not in head
    ):  # line ends of old Macs, which polars ignores
        return in_utf8(plain, scratch, str(path))
    return plain


def in_utf8(path: Path, scratch: Path, subject: str) -> Path:
    """Returns a copy of a text file in UTF-8; bytes that are none are read as Latin-1."""
    return _in_utf8(path, scratch, "utf-8" if is_utf8(path) else "latin-1", subject)


def is_utf8(path: Path) -> bool:
    """Returns whether all of a file is UTF-8."""
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(_BLOCK_CHARS):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _unpacked(path: Path, scratch: Path) -> tuple[Path, bytes]:
    """Returns the file, or what its archive holds, and how it begins."""
    head = _head(path)
    if head.startswith(_GZIP):
        plain = _copied(path, scratch, lambda: cast("IO[bytes]", gzip.GzipFile(path)))
    elif head.startswith(_ZIP):
        with _archive(path) as archive:
            name = _only_table(path, archive)
            plain = _copied(path, scratch, lambda: archive.open(name))
    else:
        return path, head
    return plain, _head(plain)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError) as error:
        raise Misconfigured(
            f"{path}: is a damaged ZIP archive ({error}); replace it, or unpack it"
        ) from error


def _only_table(path: Path, archive: zipfile.ZipFile) -> str:
    names = [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if "[Content_Types].xml" in names:
        raise Misconfigured(f"{path}: is an Excel workbook or a similar document; save it as CSV")
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv", ".txt", ".parquet"))]
    for chosen in ([name for name in tables if name.lower().endswith(".csv")], tables, names):
        if len(chosen) == 1:
            return chosen[0]
    shown = ", ".join(one_line(name, _NAME_CHARS) for name in names[:_NAMES_SHOWN])
    more = ", …" if len(names) > _NAMES_SHOWN else ""
    raise Misconfigured(
        f"{path}: is a ZIP archive of {len(names)} files ({shown}{more}); unpack it and name one of them"
    )


def _copied(path: Path, scratch: Path, opened: Callable[[], IO[bytes]]) -> Path:
    plain = scratch / "unpacked"
    try:
        with opened() as packed, plain.open("wb") as file:
            shutil.copyfileobj(packed, file, _BLOCK_CHARS)
    # RuntimeError: the archive needs a password. NotImplementedError: a compression that zipfile lacks.
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, RuntimeError) as error:
        cause = one_line(str(error), _NAME_CHARS * 2)
        raise Misconfigured(
            f"{path}: cannot be unpacked ({cause}); unpack it yourself or replace it"
        ) from error
    return plain


def _format(head: bytes) -> str | None:
    """Returns what a file is that is not read, with the cure; None for Parquet and text."""
    if head.startswith((_GZIP, _ZIP)):
        return "an archive within an archive; unpack it first"
    for magic, named in _NAMED.items():
        if head.startswith(magic):
            return named
    if head[_TAR_OFFSET:].startswith(_TAR_MARK):
        return "a tar archive; unpack it first"
    return None


def _in_utf8(path: Path, scratch: Path, encoding: str, subject: str) -> Path:
    plain = scratch / "utf8"
    try:
        with path.open(encoding=encoding) as text, plain.open("w", encoding="utf-8", newline="\n") as file:
            shutil.copyfileobj(text, file, _BLOCK_CHARS)
    except UnicodeError as error:
        raise Misconfigured(f"{subject}: is damaged text in {encoding}; save it as UTF-8") from error
    return plain
