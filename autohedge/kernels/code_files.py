"""The files of compiled code on disk: where they lie, and whether they are as they were written.

A file begins with a digest of its name and content. Machine code that was cut or changed would at best fail
to load, and at worst compute something else.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).parent.parent
INLINABLE = ("kernels", "strategies", "core/reasons.py")
SUFFIXES = (".nbi", ".nbc")  # numba's names for the index and the code of a kernel
DIGEST_BYTES = 16


def source_hash(package: Path = _PACKAGE) -> str:
    """Returns a hash of all sources that can become part of compiled code."""
    digest = blake2b(digest_size=8)
    for part in INLINABLE:
        place = package / part
        for file in [place] if place.is_file() else sorted(place.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def code_directory() -> Path:
    """Returns the directory of the machine code of these sources, which may not exist yet."""
    root = os.environ.get("NUMBA_CACHE_DIR") or platformdirs.user_cache_path("autohedge") / "jit"
    return Path(root) / source_hash()


def with_digest(path: Path, content: bytes) -> bytes:
    """Returns what a file at `path` with this content must hold."""
    return _digest(path, content) + content


def read_intact(path: Path) -> bytes | None:
    """Returns the content of a file without its digest; None if the file is damaged.

    Raises OSError if it cannot be read.
    """
    written = path.read_bytes()
    digest, content = written[:DIGEST_BYTES], written[DIGEST_BYTES:]
    return content if digest == _digest(path, content) else None


def kept_files(directory: Path) -> Iterator[tuple[Path, bool]]:
    """Yields each file of compiled code below a directory, and whether it is intact."""
    for path in sorted(directory.rglob("*")):
        if path.suffix in SUFFIXES:
            yield path, _is_intact(path)


def _digest(path: Path, content: bytes) -> bytes:
    return blake2b(path.name.encode() + b"\0" + content, digest_size=DIGEST_BYTES).digest()


def _is_intact(path: Path) -> bool:
    try:
        return read_intact(path) is not None
    except OSError:
        return False
