"""Serves the simulated venue from a process of its own."""

from collections.abc import Callable

from autohedge.config import Settings, opening_account
from autohedge.core.errors import Unavailable
from autohedge.core.ids import fresh_nonce
from autohedge.exchanges.loopback.faults import FaultSource
from autohedge.exchanges.loopback.protocol import HOST, Hello
from autohedge.exchanges.loopback.server import SimulatedVenueServer
from autohedge.exchanges.simulated import VenueModel, lots_of
from autohedge.market import Tape
from autohedge.runtime.wall import in_loop


def handshake_for(settings: Settings, tape: Tape, run_id: str, venue_id: str) -> Hello:
    """Returns what a trader and its remote venue must agree on: tape, fees, currency and venue."""
    tapes = tuple(origin.rows_id for origin in tape.origins if origin.derived is None)
    account, currencies = settings.account, opening_account(settings, tape.symbols).currencies
    return Hello(run_id, tapes, account.maker_bps, account.taker_bps, venue_id, currencies.reporting)


def serve_venue(
    settings: Settings,
    tape: Tape,
    *,
    port: int,
    speed: float,
    ready: Callable[[int], None],
    faults: FaultSource | None = None,
) -> None:
    """Serves the simulated venue to a run in another process until interrupted.

    `ready` receives the port once the server listens. Raises Unavailable if it cannot listen on `port`.
    """
    model, lots = VenueModel.of(settings, tape.symbols), lots_of(settings, tape.symbols)
    # No run id yet: the server takes that of the first trader, and refuses other runs from then on.
    hello = handshake_for(settings, tape, "", fresh_nonce())
    server = SimulatedVenueServer(model, lots, tape.rows, hello, speed=speed, faults=faults)
    try:
        in_loop(server.serve(port, ready))
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {HOST}:{port}: {error.strerror}; choose another --port"
        ) from None
