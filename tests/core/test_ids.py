"""Ids and randomness: stable, distinct, and reversible."""

import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.ids import client_order_id, in_alphabet, nonce_from_seed, random_suffix, seeded_random

HEX = string.digits + "abcdef"
BASE62 = string.digits + string.ascii_letters
NONCE = "85767306d1b68af70b87ba63becf9bb0"


def test_the_ids_of_old_runs_never_change() -> None:
    assert nonce_from_seed(0) == NONCE
    assert client_order_id(NONCE, 4) == "4cfe4e81282b928c56f022d5b4f66250"
    assert client_order_id(NONCE, 4, 1) == "7b9400774d65c6be336b1ee0919e32d0"


@given(st.integers(0, 2**63), st.integers(0, 9), st.integers(0, 2**63), st.integers(0, 9))
def test_another_seq_or_leg_is_another_id(seq: int, leg: int, other_seq: int, other_leg: int) -> None:
    same = (seq, leg) == (other_seq, other_leg)
    assert (client_order_id(NONCE, seq, leg) == client_order_id(NONCE, other_seq, other_leg)) is same


def test_neighbouring_seeds_seqs_and_legs_all_give_different_ids() -> None:
    nonces = [nonce_from_seed(seed) for seed in range(20)]
    ids = {client_order_id(nonce, seq, leg) for nonce in nonces for seq in range(20) for leg in range(5)}
    assert len(ids) == 20 * 20 * 5
    assert {len(each) for each in ids} == {32}


def _read(text: str, alphabet: str) -> int:
    number = 0
    for character in text:
        number = number * len(alphabet) + alphabet.index(character)
    return number


@pytest.mark.parametrize(("alphabet", "length"), [(HEX, 32), (BASE62, 22), (string.digits, 39), ("01", 128)])
@given(number=st.integers(0, 2**128 - 1))
def test_an_alphabet_with_room_keeps_all_128_bits(number: int, alphabet: str, length: int) -> None:
    text = in_alphabet(f"{number:032x}", alphabet, length)
    assert len(text) == length and set(text) <= set(alphabet)
    assert _read(text, alphabet) == number


@pytest.mark.parametrize(("alphabet", "length"), [(HEX, 16), (BASE62, 18), (string.digits, 20)])
@given(number=st.integers(0, 2**128 - 1))
def test_a_short_id_keeps_the_low_digits(number: int, alphabet: str, length: int) -> None:
    text = in_alphabet(f"{number:032x}", alphabet, length)
    assert len(text) == length
    assert _read(text, alphabet) == number % len(alphabet) ** length


def test_each_purpose_draws_from_a_stream_of_its_own() -> None:
    alone = [seeded_random(NONCE, "latency").random() for _ in range(1)]
    other = seeded_random(NONCE, "shuffle")
    mixed = seeded_random(NONCE, "latency")
    drawn = [(other.random(), mixed.random()) for _ in range(50)]
    assert drawn[0][1] == alone[0]
    assert all(a != b for a, b in drawn)
    assert [b for _, b in drawn] != [seeded_random("another", "latency").random() for _ in drawn]


def test_the_same_nonce_and_purpose_repeat_their_numbers() -> None:
    first, second = (seeded_random(NONCE, "latency") for _ in range(2))
    numbers = [(first.randrange(10**9), second.randrange(10**9)) for _ in range(50)]
    assert all(a == b for a, b in numbers)
    assert all(a != b for (a, _), (b, _) in pairwise(numbers))


def test_folder_suffixes_are_six_hex_digits_and_hardly_repeat() -> None:
    suffixes = {random_suffix() for _ in range(20)}
    assert len(suffixes) > 15
    assert all(len(s) == 6 and set(s) <= set(HEX) for s in suffixes)
