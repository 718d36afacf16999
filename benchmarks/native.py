"""The C loop of `kernel.c`: compiled for this machine at run time, called through ctypes."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.reasons import COUNT, Reason
from autohedge.kernels.momentum import LOOKBACK_MAX
from autohedge.market import Rows

# Without contraction to fused multiply-add: its results would differ from numba's in the last bit.
FLAGS = ("-O3", "-march=native", "-ffp-contract=off")
_SOURCE = Path(__file__).parent / "kernel.c"


def compiler() -> str | None:
    """Returns the path of gcc; None if it is not installed."""
    return shutil.which("gcc")


@cache
def _library() -> ctypes.CDLL:
    codes = [f"-D{reason.name}={int(reason)}" for reason in Reason]
    sizes = [f"-DCOUNT={COUNT}", f"-DHISTORY={LOOKBACK_MAX + 1}"]
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "kernel.so"
        command = [
            str(compiler()),
            *FLAGS,
            *codes,
            *sizes,
            "-shared",
            "-fPIC",
            str(_SOURCE),
            "-o",
            str(built),
        ]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(built))


def player(dtype: "np.dtype[Any]") -> Callable[[Rows, tuple[float, float], Any], int]:
    """Returns the C loop as a function. Raises AssertionError if its record has another size than `dtype`."""
    library = _library()
    library.lane_bytes.restype = library.play.restype = ctypes.c_int64
    if library.lane_bytes() != dtype.itemsize:
        msg = "kernel.c: `struct lane` differs from the record of autohedge.kernels.momentum; update it"
        raise AssertionError(msg)

    def play(rows: Rows, exits: tuple[float, float], played: Any) -> int:
        columns: list[NDArray[Any]] = [rows.lane, rows.bid, rows.ask, rows.bid_size, rows.ask_size]
        found: int = library.play(
            _address(played.lanes),
            *map(_address, columns),
            ctypes.c_int64(len(rows)),
            *map(ctypes.c_double, exits),
            _address(played.stops),
            _address(played.codes),
        )
        return found

    return play


def _address(values: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.ctypes.data)
