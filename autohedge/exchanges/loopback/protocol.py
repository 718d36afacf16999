"""What a trader and a simulated venue in another process say to each other.

One JSON object per line: a hello and its answer, then numbered requests one way; responses and
pushes the other. A response carries the status that a venue's HTTP interface would give.
"""

from decimal import Decimal
from enum import IntEnum, unique

import msgspec

from autohedge.core.events import AnyTradingCommand, VenueEvent

HOST = "127.0.0.1"
LINE_BYTES = 1 << 24


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A trader says who it is; both sides must see the same market and take the same fees.

    `venue_id` is the venue that a run knew before it was killed or cut off; a new run knows none yet.
    """

    run: str
    tape: tuple[str, ...]
    fee_bps: Decimal
    venue_id: str = ""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Which venue this is, and its clock, as in `ReplayClock`."""

    venue_id: str
    first_ns: int
    begun_ns: int
    speed: float


class HandshakeRefused(msgspec.Struct, frozen=True, tag="refusal"):
    """Why the venue does not take this trader."""

    reason: str


class StatementRequest(msgspec.Struct, frozen=True, tag="ask"):
    """Ask for a statement instead of trading."""


class Statement(msgspec.Struct, frozen=True, tag="statement"):
    """The venue's own books of the account: what filled of each order, what is held, the cash."""

    cash: Decimal
    positions: dict[str, Decimal]
    filled: dict[str, Decimal]
    resting: tuple[str, ...]


@unique
class Status(IntEnum):
    """How a request went."""

    OK = 200
    BAD_REQUEST = 400
    NOT_FOUND = 404
    DUPLICATE = 409
    BANNED = 418
    TOO_MANY = 429
    UNAVAILABLE = 503


class CommandMessage(msgspec.Struct, frozen=True, tag="request"):
    """A command; its number is the trader's own, and new for each on one connection."""

    number: int
    command: AnyTradingCommand


class CommandResponse(msgspec.Struct, frozen=True, tag="response"):
    """What came of a request at once; `after_s` says how long to be quiet, on the venue's clock."""

    number: int
    status: Status
    answers: tuple[VenueEvent, ...] = ()
    after_s: float = 0.0


class PushMessage(msgspec.Struct, frozen=True, tag="push"):
    """Something that happened later, unasked."""

    answer: VenueEvent


encode = msgspec.json.Encoder(decimal_format="string").encode
decode_handshake = msgspec.json.Decoder(Welcome | HandshakeRefused).decode
decode_statement = msgspec.json.Decoder(Statement).decode
decode_client_message = msgspec.json.Decoder(Hello | StatementRequest | CommandMessage).decode
decode_server_message = msgspec.json.Decoder(CommandResponse | PushMessage).decode
