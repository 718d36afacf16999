"""Names of venue, account and strategy; nonces, derived ids and seeded randomness, which only this module makes."""

import random
import secrets
import sys
from hashlib import blake2b
from typing import NamedTuple, NewType, Self

VenueId = NewType("VenueId", str)
AccountId = NewType("AccountId", str)
StrategyId = NewType("StrategyId", str)

DEFAULT_VENUE = VenueId("simulated")
DEFAULT_ACCOUNT = AccountId("main")
DEFAULT_STRATEGY = StrategyId("main")

Randomness = random.Random


class _RunIds(NamedTuple):
    venue: VenueId
    account: AccountId
    strategy: StrategyId


class RunIds(_RunIds):
    """The venue and the account that a run trades at, and its strategy: the last fields of many events."""

    __slots__ = ()

    def __new__(
        cls,
        venue: VenueId = DEFAULT_VENUE,
        account: AccountId = DEFAULT_ACCOUNT,
        strategy: StrategyId = DEFAULT_STRATEGY,
    ) -> Self:
        """Interns the names, because an event leaves out a default only if it is the same object."""
        return super().__new__(
            cls, VenueId(sys.intern(venue)), AccountId(sys.intern(account)), StrategyId(sys.intern(strategy))
        )


DEFAULT_IDS = RunIds()


def nonce_from_seed(seed: int) -> str:
    """Returns the run nonce of a seeded run: the same seed gives the same ids and the same record."""
    return blake2b(f"autohedge seed {seed}".encode(), digest_size=16).hexdigest()


def fresh_nonce() -> str:
    """Returns the run nonce of a run without a seed."""
    return secrets.token_hex(16)


def random_suffix() -> str:
    """Returns six random hex digits, to separate run folders of the same second."""
    return secrets.token_hex(3)


def client_order_id(nonce: str, seq: int, leg: int = 0) -> str:
    """Returns a 128-bit client order id in hex: the hash of run `nonce`, output `seq` and `leg`."""
    return blake2b(f"{nonce} {seq} {leg}".encode(), digest_size=16).hexdigest()


def in_alphabet(derived: str, alphabet: str, length: int) -> str:
    """Returns a derived id written in a venue's alphabet with `length` characters.

    If the venue allows too few characters for 128 bits, the low digits are kept.
    """
    number, digits = int(derived, 16), []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))


def seeded_random(nonce: str, purpose: str) -> random.Random:
    """Returns a random generator seeded with `nonce` and `purpose`.

    Each purpose has its own generator, so drawing from one never changes the numbers of another.
    """
    return random.Random(f"{nonce} {purpose}")
