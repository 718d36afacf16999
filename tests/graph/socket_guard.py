"""A program that makes a run with guarded sockets: `python socket_guard.py JSON HOST:PORT ...`

JSON contains overrides of the default settings. Any connection, datagram or name lookup except to a given
address ends the process at once with exit code 97, so that no exception handler can hide it. The output lists
the addresses that were contacted.
"""

import json
import os
import socket
import sys
from typing import Any

ALLOWED = {(host, int(port)) for host, _, port in (each.rpartition(":") for each in sys.argv[2:])}
CONTACTED: set[tuple[str, int]] = set()
FORBIDDEN = 97


def _pass(what: str, address: Any) -> None:
    """Allows a contact, or ends the process."""
    where = tuple(address[:2]) if isinstance(address, tuple) else address
    if where not in ALLOWED:
        os.write(2, f"FORBIDDEN {what} {where!r}\n".encode())
        os._exit(FORBIDDEN)
    CONTACTED.add(where)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """Receives the interpreter's audit events, which Python code cannot bypass."""
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"} and args[0].family != socket.AF_UNIX:
        _pass(event, args[1])
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
        _pass(event, (args[0], int(args[1])) if event == "socket.getaddrinfo" else (args[0], 0))


def main() -> None:
    sys.addaudithook(_audit)
    from autohedge import app, config
    from tests.graph.hybrid_harness import market

    wanted = config.load(overrides=json.loads(sys.argv[1]))
    results = app.run(wanted, market())
    found = {
        "contacted": sorted(CONTACTED),
        "buys": results.buys,
        "calls": results.agents.calls if results.agents else {},
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
