"""The simulated venue as a process of its own."""

from collections.abc import Callable

from autohedge.config import Settings
from autohedge.core.errors import Unavailable
from autohedge.core.ids import fresh_nonce
from autohedge.exchanges.loopback.faults import FaultSource
from autohedge.exchanges.loopback.protocol import HOST, Hello
from autohedge.exchanges.loopback.server import SimulatedVenueServer
from autohedge.exchanges.simulated import VenueModel, lots_of
from autohedge.market import Tape
from autohedge.runtime.wall import in_loop


def handshake_for(settings: Settings, tape: Tape, run_id: str, venue_id: str) -> Hello:
    """What a trader and its venue in another process must agree on."""
    tapes = tuple(origin.content_hash for origin in tape.origins)
    return Hello(run_id, tapes, settings.simulated.fee_bps, venue_id)


def serve_venue(
    settings: Settings,
    tape: Tape,
    *,
    port: int,
    speed: float,
    ready: Callable[[int], None],
    faults: FaultSource | None = None,
) -> None:
    """Be the simulated venue of a run in another process, until interrupted.

    Raises Unavailable where the port is taken.
    """
    model, lots = VenueModel.of(settings), lots_of(settings, tape.symbols)
    hello = handshake_for(settings, tape, "", fresh_nonce())
    server = SimulatedVenueServer(model, lots, tape.rows, hello, speed=speed, faults=faults)
    try:
        in_loop(server.serve(port, ready))
    except OSError as error:
        raise Unavailable(f"cannot listen on {HOST}:{port}: {error.strerror}; take another --port") from None
