"""What a peer is worth: verified bytes, and each served chunk once."""

import math
import random

import pytest

from protocol import limits
from protocol.places.usefulness import HALF_LIFE_S, Usefulness

ONE, OTHER = bytes(20), b"\1" * 20
MOD = bytes(32)


def test_what_was_verified_counts_and_halves() -> None:
    use = Usefulness()
    assert use.worth(ONE, 0.0) == 0
    use.received(ONE, 1000, 0.0)
    assert use.worth(ONE, HALF_LIFE_S) == 500
    use.received(ONE, 500, HALF_LIFE_S)
    assert use.worth(ONE, 2 * HALF_LIFE_S) == 500
    assert use.worth(OTHER, 0.0) == 0


def test_an_endless_downloader_of_one_chunk_earns_it_once() -> None:
    use = Usefulness()
    for _ in range(1000):
        use.served(ONE, MOD, 7, 100, 0.0)
    assert use.worth(ONE, 0.0) == 100
    use.served(ONE, MOD, 8, 100, 0.0)
    use.served(ONE, b"\1" * 32, 7, 100, 0.0)
    assert use.worth(ONE, 0.0) == 300


def test_many_chunks_earn_no_more_than_can_be_told_apart() -> None:
    use = Usefulness()
    for chunk in range(2 * limits.CHUNKS_CREDITED):
        use.served(ONE, MOD, chunk, 1, 0.0)
    assert use.worth(ONE, 0.0) == limits.CHUNKS_CREDITED


def test_the_least_useful_is_forgotten_first() -> None:
    use = Usefulness()
    use.received(ONE, 10_000, 0.0)
    for number in range(1, limits.PEERS_CREDITED + 50):
        use.received(number.to_bytes(20), number, 1.0)
    assert len(use) == limits.PEERS_CREDITED
    assert use.worth(ONE, 1.0) == pytest.approx(10_000, rel=0.01)


def test_standing_counts_besides() -> None:
    use = Usefulness(lambda peer_id: math.inf if peer_id == ONE else 0.0)
    assert use.worth(ONE, 5.0) == math.inf
    use.received(ONE, 1, 0.0)
    assert use.worth(ONE, 5.0) == math.inf
    assert use.worth(OTHER, 5.0) == 0


def test_what_a_peer_brought_is_halved_and_what_it_took_is_none_of_it() -> None:
    use = Usefulness(lambda _: 7.0)
    use.served(ONE, MOD, 1, 1000, 0.0)
    assert use.brought(ONE, 0.0) == use.brought(OTHER, 0.0) == 0
    use.received(ONE, 64, 0.0)
    use.received(ONE, 32, HALF_LIFE_S)
    assert use.brought(ONE, 2 * HALF_LIFE_S) == pytest.approx(32)
    assert use.worth(ONE, HALF_LIFE_S) == pytest.approx(7 + 1064 / 2 + 32)


def test_a_peer_gives_as_long_as_it_takes_at_most_four_times_as_much() -> None:
    """Also once both are halved; and never by less than GIVER_BYTES, or by what it was sent."""
    use = Usefulness()
    assert use.is_new(ONE)
    use.received(ONE, limits.GIVER_BYTES - 1, 0.0)
    assert (use.gives(ONE, 0.0), use.is_new(ONE)) == (0, False)
    use.received(ONE, limits.GIVER_BYTES + 1, 0.0)
    brought = 2 * limits.GIVER_BYTES
    assert use.gives(ONE, 0.0) == brought
    use.served(ONE, MOD, 1, limits.GIVER_TAKES * brought, 0.0)
    assert use.gives(ONE, 0.0) == brought
    assert use.gives(ONE, HALF_LIFE_S) == brought / 2
    use.served(ONE, MOD, 2, 1, 0.0)
    assert use.gives(ONE, 0.0) == 0
    use.served(OTHER, MOD, 1, 1, 0.0)
    assert (use.gives(OTHER, 0.0), use.is_new(OTHER)) == (0, False)


def test_a_quarter_of_what_a_peer_got_it_may_get_again() -> None:
    use = Usefulness()
    for chunk in range(40):
        assert not use.had(ONE, MOD, chunk)
        use.served(ONE, MOD, chunk, 100, 0.0)
    for chunk in range(10):
        assert not use.had(ONE, MOD, chunk)
        use.served(ONE, MOD, chunk, 100, 0.0)
    assert use.had(ONE, MOD, 3)
    assert not use.had(ONE, MOD, 40)
    assert not use.had(OTHER, MOD, 3)


def test_a_peer_that_gets_each_chunk_once_is_never_said_to_have_had_one() -> None:
    """By chance they share bits, of mods that are 500 chunks long."""
    use, rng = Usefulness(), random.Random(1)
    for mod_id in (rng.randbytes(32) for _ in range(140)):
        for chunk in range(500):
            assert not use.had(ONE, mod_id, chunk)
            use.served(ONE, mod_id, chunk, 100, 0.0)
