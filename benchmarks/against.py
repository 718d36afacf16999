"""Compares this version with another checkout on the benchmark tape: `python -m benchmarks.against CHECKOUT`.

Both run in turn, so that changing load affects both alike. Each process plays the tape three times with its
journal written, and prints the least processor time.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

# PLAY runs inside either checkout, so it may use only names that both versions have.
HERE = Path(__file__).parent.parent
ROUNDS, QUOTES = 6, 5_000_000
PLAY = """
import gc, sys, tempfile, time
from pathlib import Path
from benchmarks import session

market, wanted, folder = session.tape(int(sys.argv[1])), session.settings([]), Path(tempfile.mkdtemp())
session.play_recorded(wanted, market, folder)
spent = []
for _ in range(3):
    gc.collect()
    began = time.process_time()
    session.play_recorded(wanted, market, folder)
    spent.append(time.process_time() - began)
print(min(spent))
"""


def main() -> None:
    """Prints both times of each round, then the ratio of the medians and of the least times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other version's folder")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quotes", type=int, default=QUOTES, help="length of the tape")
    wanted = parser.parse_args()
    rounds = []
    for number in range(1, wanted.rounds + 1):
        there, here = (_seconds(root, wanted.quotes) for root in (wanted.checkout, HERE))
        rounds.append((there, here))
        print(f"round {number}: there {there:.3f} s, here {here:.3f} s, {here / there:.3f}x", flush=True)
    least_there, least_here = (min(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(here / there for there, here in rounds)
    least_ratio = least_here / least_there
    print(f"here / there: {ratio:.3f}x by the median round, {least_ratio:.3f}x by the least of each")


def _seconds(root: Path, quotes: int) -> float:
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", PLAY, str(quotes)]
    done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
