"""The protocol between a trader and a simulated venue in another process.

Messages are JSON objects, one per line. After a hello and its answer, the trader sends numbered requests, and
the venue sends responses and pushes. A response has the status code of a venue's HTTP interface.
"""

from decimal import Decimal
from enum import IntEnum, unique

import msgspec

from autohedge.core.events import AnyTradingCommand, VenueEvent

HOST = "127.0.0.1"
LINE_BYTES = 1 << 24  # a response may repeat every fill of a run; asyncio's own limit is 64 KiB


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first message of a trader; tape hashes, fees and reporting currency of both sides must be equal.

    `venue_id` is the venue that has the run's orders; it is empty for a new run.
    """

    run: str
    tape: tuple[str, ...]
    maker_bps: Decimal
    taker_bps: Decimal
    venue_id: str = ""
    currency: str = ""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Accepts a trader: the venue's id, and its clock as in `ReplayClock`."""

    venue_id: str
    first_ns: int
    begun_ns: int
    speed: float


class HandshakeRefused(msgspec.Struct, frozen=True, tag="refusal"):
    """Refuses a trader, with the reason."""

    reason: str


class StatementRequest(msgspec.Struct, frozen=True, tag="ask"):
    """A first message that requests a statement instead of trading."""


class Statement(msgspec.Struct, frozen=True, tag="statement"):
    """The account as the venue has it: cash, positions, filled quantity per order, resting orders.

    `cash` is in the reporting currency, `balances` has the others.
    """

    cash: Decimal
    positions: dict[str, Decimal]
    filled: dict[str, Decimal]
    resting: tuple[str, ...]
    balances: dict[str, Decimal]


@unique
class Status(IntEnum):
    """The outcome of a request, as an HTTP status code."""

    OK = 200
    BAD_REQUEST = 400
    NOT_FOUND = 404
    DUPLICATE = 409
    BANNED = 418
    TOO_MANY = 429
    UNAVAILABLE = 503


class CommandMessage(msgspec.Struct, frozen=True, tag="request"):
    """A request; the trader numbers the requests of one connection."""

    number: int
    command: AnyTradingCommand


class CommandResponse(msgspec.Struct, frozen=True, tag="response"):
    """The response to a request; `after_s` is the pause before the next one, on the venue's clock."""

    number: int
    status: Status
    answers: tuple[VenueEvent, ...] = ()
    after_s: float = 0.0


class PushMessage(msgspec.Struct, frozen=True, tag="push"):
    """An event that the venue sends without a request."""

    answer: VenueEvent


encode = msgspec.json.Encoder(decimal_format="string").encode
decode_handshake = msgspec.json.Decoder(Welcome | HandshakeRefused).decode
decode_statement = msgspec.json.Decoder(Statement).decode
decode_client_message = msgspec.json.Decoder(Hello | StatementRequest | CommandMessage).decode
decode_server_message = msgspec.json.Decoder(CommandResponse | PushMessage).decode
