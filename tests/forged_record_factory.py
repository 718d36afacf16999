"""Changes records and recomputes their hashes, as a careful forger would."""

import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from autohedge.journal import RunFolder
from autohedge.journal.chain import NO_HASH, seal
from autohedge.journal.folder import to_json

Lines = list[dict[str, Any]]


def content_hash(path: Path) -> str:
    """Returns the hash by which a genesis names a tape file."""
    return blake2b(path.read_bytes(), digest_size=32).hexdigest()


def rewrite(folder: RunFolder, change: Callable[[Lines], None]) -> None:
    """Changes lines of the journal, then recomputes its hash chain and the head in the results."""
    lines = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    change(lines)
    head, rebuilt = NO_HASH, b""
    for line in lines:
        line.pop("hash")
        # Without the closing brace: `seal` appends the hash as the last field.
        body = json.dumps(line, separators=(",", ":")).encode()[:-1]
        raw, head = seal(body, head)
        rebuilt += raw
    folder.journal.write_bytes(rebuilt)
    folder.results.write_bytes(to_json(json.loads(folder.results.read_text()) | {"journal_head": head}))


def rewrite_settings(folder: RunFolder, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the recorded settings, stores them under their new hash, and names that in the genesis."""

    def rename(lines: Lines) -> None:
        genesis = lines[0]["genesis"]
        values = json.loads(folder.stored_file(genesis["settings"]).read_text())
        change(values)
        genesis["settings"] = folder.store_file(to_json(values), ".json")

    rewrite(folder, rename)


def first(lines: Lines, **wanted: Any) -> dict[str, Any]:
    """Returns the first line whose event has these values."""
    return next(
        line
        for line in lines
        if all(line.get("event", {}).get(key) == value for key, value in wanted.items())
    )
