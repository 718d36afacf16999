"""The durable store: full disks, torn tails, the lock, and syncs."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autohedge.core.errors import Refused, Unavailable
from autohedge.journal import Journal, read
from autohedge.journal.chain import torn_tail_bytes
from autohedge.journal.disk import LocalDisk
from autohedge.journal.durable import RESERVE_BYTES, DurableStore
from tests.journal.entry_factory import ENTRIES, GENESIS

SMALL_DISK = """
set -e
mount -t tmpfs -o size={size}m small {place}
exec {python} {script} {place}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_a_line_has_left_the_process_when_append_returns(path: Path) -> None:
    store = DurableStore(path)
    journal = Journal.begin(store, GENESIS)
    for number, entry in enumerate(ENTRIES, start=2):
        journal.append(entry)
        assert len(path.read_bytes().splitlines()) == number
    store.close()
    assert [line.entry for line in list(read(path))[1:]] == ENTRIES


class CountingDisk(LocalDisk):
    """A disk that remembers the last line before each sync."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.synced: list[bytes] = []

    def sync(self, descriptor: int) -> None:
        self.synced.append(self.path.read_bytes().splitlines()[-1])


@pytest.mark.parametrize(("power", "orders"), [(False, 0), (True, 2)])
def test_append_syncs_id_inputs_and_with_power_every_order(path: Path, power: bool, orders: int) -> None:
    disk = CountingDisk(path)
    store = DurableStore(path, power=power, disk=disk, syncs_behind=False)
    journal = Journal.begin(store, GENESIS)
    for entry in ENTRIES:
        journal.append(entry)
    kinds = (b'"run_started"', b'"restarted"', b'"continued"', b'"submit_order"')
    assert [sum(kind in line for line in disk.synced) for kind in kinds] == [1, 1, 1, orders]
    assert len(disk.synced) == 3 + orders
    store.close()


def test_a_second_process_is_refused(path: Path) -> None:
    store = DurableStore(path)
    with pytest.raises(Refused, match="written by another process"):
        DurableStore(path)
    store.close()
    DurableStore(path).close()


def test_a_torn_tail_is_moved_aside_and_the_journal_goes_on(path: Path) -> None:
    store = DurableStore(path)
    journal = Journal.begin(store, GENESIS)
    journal.append(ENTRIES[0])
    store.close()
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"seq":2,"pos":')
    reopened = DurableStore(path)
    reopened.truncate_torn(torn_tail_bytes(path))
    Journal(reopened, journal.head, journal.lines).append(ENTRIES[1])
    reopened.close()
    assert [line.entry for line in list(read(path))[1:]] == ENTRIES[:2]
    assert (path.parent / f"torn-at-{whole}").read_bytes() == b'{"seq":2,"pos":'


def test_truncate_without_torn_tail_leaves_only_the_journal(path: Path) -> None:
    store = DurableStore(path)
    store.truncate_torn(0)
    store.close()
    assert [each.name for each in path.parent.iterdir()] == ["journal.jsonl"]


def test_store_in_missing_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot write .*No such file"):
        DurableStore(tmp_path / "absent" / "journal.jsonl")


def test_file_size_limit_stops_writing_with_whole_lines(path: Path) -> None:
    """RLIMIT_FSIZE limits this file for good: the reserve cannot help, but lines must stay whole."""
    script = f"""
import resource, signal
from pathlib import Path
from autohedge.core.errors import Unavailable
from autohedge.journal import Journal
from autohedge.journal.durable import DurableStore
from tests.journal.entry_factory import ENTRIES, GENESIS
store = DurableStore(Path({str(path)!r}))
journal = Journal.begin(store, GENESIS)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    while True:
        journal.append(ENTRIES[0])
except Unavailable as error:
    print(error)
print(journal.lines, store.fault)
store.close()
"""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    error, counted = done.stdout.splitlines()
    assert "File too large; no unrecorded order was sent. Make room, then: autohedge restart" in error
    assert "full or broken disk: File too large" in counted
    assert 9_000 < path.stat().st_size <= 10_000
    assert torn_tail_bytes(path) == 0
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_full_disk_releases_the_reserve_and_reports_the_fault(tmp_path: Path) -> None:
    out = _on_a_small_disk(
        tmp_path,
        RESERVE_BYTES // 2**20 + 2,
        """
store = DurableStore(place / "journal.jsonl")
journal = Journal.begin(store, GENESIS)
assert store.fault is None and (place / "reserve").stat().st_size == RESERVE_BYTES
while store.fault is None:
    journal.append(ENTRIES[1])
at = journal.lines
print(store.fault)
for _ in range(10_000):
    journal.append(ENTRIES[1])
assert not (place / "reserve").exists()
assert not store.reserve()
store.close()
assert sum(1 for _ in read(place / "journal.jsonl")) == at + 10_000
""",
    )
    assert "full or broken disk: No space left on device" in out


def test_store_without_room_for_reserve_reports_fault_at_once(tmp_path: Path) -> None:
    out = _on_a_small_disk(
        tmp_path,
        8,
        """
store = DurableStore(place / "journal.jsonl")
print(store.fault)
assert [each.name for each in place.iterdir()] == ["journal.jsonl"]
store.close()
""",
    )
    assert "no room for the journal's reserve: No space left on device" in out


def _on_a_small_disk(tmp_path: Path, size: int, body: str) -> str:
    """Runs a script on a file system of `size` MiB, mounted in its own name space."""
    place, script = tmp_path / "small", tmp_path / "script.py"
    place.mkdir()
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom autohedge.journal import Journal, read\n"
        "from autohedge.journal.durable import RESERVE_BYTES, DurableStore\n"
        f"from tests.journal.entry_factory import ENTRIES, GENESIS\nplace = Path(sys.argv[1])\n{body}"
    )
    command = SMALL_DISK.format(size=size, place=place, python=sys.executable, script=script)
    if not _may_mount(tmp_path):
        pytest.skip("this machine does not allow mounting a small file system")
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    shell = ["unshare", "--map-root-user", "--mount", "sh", "-c", command]
    done = subprocess.run(shell, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _may_mount(tmp_path: Path) -> bool:
    if not shutil.which("unshare"):
        return False
    probe = f"mount -t tmpfs -o size=1m probe {tmp_path}"
    shell = ["unshare", "--map-root-user", "--mount", "sh", "-c", probe]
    return subprocess.run(shell, capture_output=True, check=False).returncode == 0
