"""Copies of the checkout in which mutants are planted, one at a time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path

from tests.kernel_warmup import warm_up
from tests.mutation.mutants import ROOT, Mutant

CACHE_OF_KERNELS = "from autohedge.kernels import momentum; print(momentum.scan.stats.cache_path)"


class Workspace:
    """One copy of the checkout, in a folder of its own, with the compiled kernels of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(".*", "runs"))
        # Recorded data may be absent elsewhere, so no result may depend on it.
        self.env = {key: value for key, value in os.environ.items() if key != "AUTOHEDGE_REQUIRE_SHARED"}
        # Bytecode is kept: each mutant imports the same package and the same tests.
        self.env |= {
            "PYTHONPATH": str(self.root),
            "NUMBA_CACHE_DIR": str(folder / "jit"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        _copy_kernels(self)

    @contextmanager
    def planted(self, mutant: Mutant | None) -> Iterator[None]:
        """Changes the package of this copy while the context lasts."""
        if mutant is None:
            yield
            return
        file = self.root / "autohedge" / mutant.file
        original = file.read_text(encoding="utf-8")
        try:
            _write(file, mutant.source())
            yield
        finally:
            _write(file, original)


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    # Bytecode is known by size and second of its source: two mutants may have both in common.
    Path(cache_from_source(str(file))).unlink(missing_ok=True)


def _copy_kernels(workspace: Workspace) -> None:
    """Copies machine code: numba keeps it by the place of its source, and would compile it again for the copy."""
    warm_up()
    shutil.copytree(
        _kernel_folder(ROOT, dict(os.environ)),
        _kernel_folder(workspace.root, workspace.env),
        dirs_exist_ok=True,
    )


def _kernel_folder(root: Path, env: dict[str, str]) -> str:
    env = env | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", CACHE_OF_KERNELS],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
