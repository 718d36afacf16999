"""Files with findings about models in the user's cache folder: where they are, how long they count, atomic writes."""

import os
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec
import platformdirs

import autohedge
from autohedge.core.clock import wall_ns
from autohedge.core.units import NS_PER_DAY

# An update of the server or the model can change what was found.
CACHE_TTL_NS = 30 * NS_PER_DAY


def cache_folder(name: str) -> Path:
    """Returns the folder of this name in AUTOHEDGE_CACHE_DIR, or in the user's cache directory."""
    return Path(os.environ.get("AUTOHEDGE_CACHE_DIR") or platformdirs.user_cache_dir("autohedge")) / name


def cache_file(name: str, key: tuple[str, ...]) -> Path:
    """Returns the file for a key in the folder of this name."""
    hashed = blake2b(msgspec.json.encode(key), digest_size=16).hexdigest()
    return cache_folder(name) / f"{hashed}.json"


def is_valid(probed_ns: int, version: str) -> bool:
    """Whether a finding of that time and version of AutoHedge still counts."""
    # Another version may ask in other ways. A date in the future means that the clock was set back, so the
    # age is unknown.
    return 0 <= wall_ns() - probed_ns < CACHE_TTL_NS and version == autohedge.__version__


def store_file(path: Path, content: bytes) -> None:
    """Writes a temporary file and renames it, so that a reader sees the old content or the new one.

    Does nothing if the folder cannot be written: the finding is then made again.
    """
    with suppress(OSError):
        _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix="probe-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
