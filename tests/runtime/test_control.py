"""The control socket: an unconfirmed command differs from a run that is not running."""

import socket
from pathlib import Path
from threading import Thread

import pytest

from autohedge.core.errors import Unavailable
from autohedge.runtime.control import SOCKET, Request, send_command


@pytest.mark.parametrize("reply", [b"", b"nonsense\n", b'{"done":true}'])
def test_halt_command_without_valid_reply_is_unconfirmed(workplace: Path, reply: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        listener.listen()

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(reply)

        run = Thread(target=answer)
        run.start()
        with pytest.raises(Unavailable, match="asked to halt, but did not confirm it"):
            send_command(Path(), Request("halt", "lunch"))
        run.join()


def test_halt_command_without_running_run_is_unavailable(workplace: Path) -> None:
    with pytest.raises(Unavailable, match="is not running on a clock now"):
        send_command(Path(), Request("halt", "lunch"))
