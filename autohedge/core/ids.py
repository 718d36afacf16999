"""Nonces, derived ids and seeded randomness: the only place where they are made."""

import random
import secrets
from hashlib import blake2b

Randomness = random.Random


def nonce_from_seed(seed: int) -> str:
    """The run nonce of a seeded run: the same seed gives the same ids and the same record."""
    return blake2b(f"autohedge seed {seed}".encode(), digest_size=16).hexdigest()


def fresh_nonce() -> str:
    """The run nonce of a run without a seed."""
    return secrets.token_hex(16)


def random_suffix() -> str:
    """A few random characters that keep run folders of one second apart."""
    return secrets.token_hex(3)


def client_order_id(nonce: str, seq: int, leg: int = 0) -> str:
    """128 bits, in hex, that name one output of one run: the hash of nonce, output seq and leg."""
    return blake2b(f"{nonce} {seq} {leg}".encode(), digest_size=16).hexdigest()


def in_alphabet(derived: str, alphabet: str, length: int) -> str:
    """Write a derived id in a venue's alphabet, `length` characters.

    A venue that takes fewer characters than 128 bits need gets the low digits.
    """
    number, digits = int(derived, 16), []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))


def seeded_random(nonce: str, purpose: str) -> random.Random:
    """A seeded stream of its own for each purpose, so that one never shifts another."""
    return random.Random(f"{nonce} {purpose}")
