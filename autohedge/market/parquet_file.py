"""Writes a table to a new Parquet file, all of it or nothing."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.market.columns import Column

if TYPE_CHECKING:
    import polars as pl


def require_new(path: Path) -> None:
    """Raises Misconfigured for a file that exists or has no folder, and for a name that no file can have."""
    try:
        exists = path.exists()
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}; name another file") from error
    if exists:
        raise Misconfigured(f"{path}: exists already; name another file")
    if not path.parent.is_dir():
        raise Misconfigured(f"{path}: its folder does not exist; create it first")


def write_columns(end_ns: Column, columns: Mapping[str, Column], path: Path) -> None:
    """Writes figures of bars that end at `end_ns` to a new file, with null for NaN.

    Raises Misconfigured if the file exists or cannot be written.
    """
    import polars as pl

    require_new(path)
    series = {
        name: pl.Series(np.ascontiguousarray(values)).fill_nan(None) for name, values in columns.items()
    }
    write_frame(pl.DataFrame({"end_ns": end_ns, **series}), path)


def write_frame(frame: "pl.DataFrame", path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a table under another name, and renames the file once it is whole.

    Raises Misconfigured if it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("xb") as file:
            frame.write_parquet(file, metadata=dict(metadata or {}))
        draft.replace(path)
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be written ({error.strerror}); check the folder") from error
    finally:
        with suppress(OSError):  # it is not there, or its name is too long
            draft.unlink()
