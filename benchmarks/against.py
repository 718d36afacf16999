"""Compares this version with another checkout: `python -m benchmarks.against CHECKOUT`.

Both run in turn, so that changing load affects both alike, in processes of their own. By default each plays the
benchmark tape three times with its journal written, and counts the least processor time; with `--deliberation`
each runs its row of that name and counts the least processor time of a deliberation.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.parent
ROUNDS, QUOTES, TAPE_BOUND, DELIBERATION_BOUND = 6, 5_000_000, 1.02, 1.0
# Both programs run inside either checkout, so they may use only names that both versions have.
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
DELIBERATE = """
import time

# A version whose row reads the wall clock is measured in processor time as well.
time.perf_counter = time.process_time

from benchmarks import deliberation

print(float(deliberation.deliberations(0)[0].figure.partition("least ")[2].rstrip(")")) / 1e3)
"""


def main() -> None:
    """Prints both times of each round, then the ratio of the medians and of the least times."""
    wanted = _options()
    program = DELIBERATE if wanted.deliberation else PLAY
    rounds = []
    for number in range(1, wanted.rounds + 1):
        there, here = (_seconds(root, program, wanted.quotes) for root in (wanted.checkout, HERE))
        rounds.append((there, here))
        print(f"round {number}: there {there:.4f} s, here {here:.4f} s, {here / there:.3f}x", flush=True)
    least_there, least_here = (min(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(here / there for there, here in rounds)
    least_ratio = least_here / least_there
    bound = DELIBERATION_BOUND if wanted.deliberation else TAPE_BOUND
    print(
        f"here / there: {ratio:.3f}x by the median round, {least_ratio:.3f}x by the least of each; "
        f"bound {bound:g}x"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other version's folder")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quotes", type=int, default=QUOTES, help="length of the tape")
    parser.add_argument("--deliberation", action="store_true", help="compare a deliberation, not the tape")
    return parser.parse_args()


def _seconds(root: Path, program: str, quotes: int) -> float:
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", program, str(quotes)]
    done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
