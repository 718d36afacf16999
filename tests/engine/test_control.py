"""A command that was sent but not confirmed is something else than a run that is not there."""

import socket
from pathlib import Path
from threading import Thread

import pytest

from autohedge.core.errors import Unavailable
from autohedge.engine.control import SOCKET, Request, command


@pytest.mark.parametrize("says", [b"", b"nonsense\n", b'{"done":true}'])
def test_a_run_that_ends_meanwhile_did_not_confirm(workplace: Path, says: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        listener.listen()

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(says)

        run = Thread(target=answer)
        run.start()
        with pytest.raises(Unavailable, match="asked to halt, but did not confirm it"):
            command(Path(), Request("halt", "lunch"))
        run.join()


def test_a_run_that_is_not_there_is_not_asked(workplace: Path) -> None:
    with pytest.raises(Unavailable, match="is not running on a clock now"):
        command(Path(), Request("halt", "lunch"))
