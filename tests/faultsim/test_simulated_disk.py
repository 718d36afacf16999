"""The disk of the simulation: it fills up, fails, and loses what was not synced."""

from collections import Counter
from pathlib import Path

import pytest

from autohedge.core.errors import Refused, Unavailable
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.simulated_disk import RESERVE_ROOM, Crash, SimulatedDisk
from autohedge.faultsim.strikes import FaultSchedule, Strike
from autohedge.journal.durable import DurableStore

PATH = Path("/run/journal.jsonl")


class Machine:
    """A disk with strikes, and the time."""

    def __init__(self, *strikes: Strike) -> None:
        self.now_ns = 0
        self.disk = SimulatedDisk(FaultSchedule(strikes, Counter()), lambda: self.now_ns)

    def store(self) -> DurableStore:
        return DurableStore(PATH, disk=self.disk, syncs_behind=False)


def test_power_loss_keeps_what_was_synced_and_a_part_of_the_rest() -> None:
    machine = Machine()
    store = machine.store()
    store.write(b"synced\n")
    store.sync()
    store.write(b"0123456789")
    assert machine.disk.lose_power(Strike("power_loss", 0, values=(0.5, 0.0)))
    assert machine.disk.read(PATH) == b"synced\n01234"


def test_power_loss_long_after_the_last_write_loses_no_line() -> None:
    machine = Machine()
    machine.store().write(b"line\n")
    machine.now_ns = NS_PER_S
    assert not machine.disk.lose_power(Strike("power_loss", 0, values=(0.0, 0.0)))
    assert machine.disk.read(PATH) == b"line\n"


def test_full_disk_takes_whole_lines_from_the_reserve_and_then_none() -> None:
    machine = Machine(Strike("disk_full", 0, values=(1.0, 0.0)))
    store, line = machine.store(), b"x" * 99 + b"\n"
    with pytest.raises(Unavailable, match="No space left on device; no unrecorded order was sent"):
        for _ in range(RESERVE_ROOM):
            store.write(line)
    assert store.fault and "full or broken disk" in store.fault
    assert machine.disk.read(PATH) == line * (RESERVE_ROOM // len(line))
    machine.disk.end_faults()
    assert store.reserve() and store.fault is None


def test_restart_on_a_full_disk_with_a_torn_line_is_unavailable() -> None:
    machine = Machine(
        Strike("crash_write", 0, skip=1, values=(0.0, 0.5)), Strike("disk_full", 1, values=(1.0,))
    )
    store = machine.store()
    store.write(b"whole\n")
    with pytest.raises(Crash):
        store.write(b"torn line\n")
    machine.disk.release()
    machine.now_ns = 1
    store = machine.store()
    with pytest.raises(Unavailable):
        store.write(b"x" * (RESERVE_ROOM + 500))
    torn = len(machine.disk.read(PATH)) - len(b"whole\n")
    with pytest.raises(Unavailable, match="No space left on device"):
        store.truncate_torn(torn)
    machine.disk.end_faults()
    store.truncate_torn(torn)
    assert machine.disk.read(PATH) == b"whole\n"


def test_second_store_is_refused_until_the_first_process_is_gone() -> None:
    machine = Machine()
    machine.store()
    for _ in range(2):
        with pytest.raises(Refused, match="written by another process"):
            machine.store()
    machine.disk.release()
    machine.store()


def test_sync_that_fails_is_unavailable() -> None:
    machine = Machine(Strike("sync_error", 0))
    store = machine.store()
    with pytest.raises(Unavailable, match="Input/output error"):
        store.sync()
