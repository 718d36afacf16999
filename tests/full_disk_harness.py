"""Fills the disk while a run trades; to be run inside a small file system of its own."""

import signal
from pathlib import Path

from autohedge.app import replay_engine
from autohedge.core.events import SubmitOrder, SystemFault, TradingStateChanged
from autohedge.core.orders import Side
from autohedge.journal import RunFolder, read
from tests.process_harness import ProcessHarness, wait

EAGER: dict[str, object] = {
    "momentum__min_edge_bps": -1000,
    "momentum__warmup_count": 2,
    "momentum__evaluate_every_quotes": 1,
    "exits__take_profit_bps": 1,
    "exits__stop_loss_bps": 1,
    "synthetic__hours": 1,
    "synthetic__quotes_per_s": 20,
}


def _fill(path: Path) -> None:
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        return


harness = ProcessHarness(Path.cwd(), EAGER)
process = harness.start_interpreter("run", "--speed", "20", "-q")
harness.wait_for(process, b"submit_order")
_fill(Path("filler"))
harness.wait_for(process, b'"state":"halted"')
journal = harness.journal()
assert journal
run = journal.parent.name
# `resume` requires the halt id, which is the last part of its refusal.
refused = harness.call("resume", run)
assert refused.returncode == 3, refused
print("refused:", refused.stderr)
halt_id = refused.stderr.split()[-1]
wait(process, 0.5)
# Still full: the run must not resume before its reserve is there again.
full = harness.call("resume", run, "--halt-id", halt_id)
assert full.returncode == 3 and "no room" in full.stderr, full
Path("filler").unlink()
done = harness.call("resume", run, "--halt-id", halt_id, "--reason", "made room")
assert done.returncode == 0, done
harness.wait_for(process, b'"made room"')
wait(process, 0.5)
# Fill it again: the fault must be reported a second time, not only once per run.
size = journal.stat().st_size
_fill(Path("filler"))
harness.wait_for(process, b'"system_fault"', after=size)
Path("filler").unlink()
halt_id = harness.call("resume", run).stderr.split()[-1]
assert harness.call("resume", run, "--halt-id", halt_id).returncode == 0
wait(process, 0.5)
process.send_signal(signal.SIGINT)
process.communicate(timeout=60)
assert process.returncode == 1
events = [line.event for line in read(journal)]
changes = [(at, event) for at, event in enumerate(events) if isinstance(event, TradingStateChanged)]
halted = next(at for at, event in changes if event.is_halt)
resumed = next(at for at, event in changes if event.is_resume)
assert isinstance(events[halted - 1], SystemFault)
# While halted the run may exit, but must not enter.
between = [event for event in events[halted:resumed] if isinstance(event, SubmitOrder)]
assert not any(event.side is Side.BUY for event in between), between
assert any(isinstance(event, SubmitOrder) and event.side is Side.BUY for event in events[resumed:])
assert replay_engine(RunFolder(journal.parent)) == (None, True)
print("resumed and replayed")
