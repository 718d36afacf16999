"""Row `transcript`: the bytes of a day of three symbols in hybrid mode, against those of its whole lines."""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from autohedge.llm.transcript import read
from benchmarks.process import surroundings
from benchmarks.row import Row

BOUND = 4.0
DAY = ["run", "--quiet", "--seed", "7", "--mode", "hybrid", "--set", "llm.provider=rules"]


def measure(quotes: int) -> list[Row]:
    """Records a synthetic day with the answers of the rules; `read` gives the lines with all their texts."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "autohedge", *DAY, "--set", "synthetic.hours=24"]
        subprocess.run(command, cwd=folder, env=surroundings(), check=True)
        (run,) = Path(folder, "runs").iterdir()
        path = run / "transcript.jsonl"
        written = sum(each.stat().st_size for each in (path, *run.glob("transcript/*")))
        whole = sum(len(msgspec.json.encode(entry)) + 1 for entry in read(path))
    ratio = whole / written
    note = f"{written:,} bytes, with whole lines {whole:,}"
    return [Row("transcript", f">= {BOUND:g}x less", f"{ratio:.2f}x", ratio >= BOUND, note)]
