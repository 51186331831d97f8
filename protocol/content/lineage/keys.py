"""The keys of a lineage, which its publisher has; readers get the lineage key and the reading key.

Two secrets of 32 bytes are all: the lineage's secret, which is random, and the seed of its Ed25519
key, which follows from the publisher's identity and that secret.
"""

import hashlib
from functools import cached_property
from itertools import count

from nacl.bindings import crypto_sign_seed_keypair

from protocol.content import sealing
from protocol.identity import Identity, solves_puzzle


class LineageKeys:
    """What a publisher signs, seals and wraps the versions of one mod with."""

    def __init__(self, secret: bytes, seed: bytes) -> None:
        """`secret`: whence the keys of chunks and contents follow; `seed`: of the lineage key."""
        self.secret = secret
        self.identity = Identity(seed)

    @property
    def public_key(self) -> bytes:
        """The lineage key, 32 bytes, by which all know the lineage."""
        return self.identity.public_key

    @cached_property
    def reading_key(self) -> bytes:
        """The key with which readers unwrap the content key of the newest version, 32 bytes."""
        return sealing.derive_key(self.secret, "lineage reading key")

    def __repr__(self) -> str:
        return f"<LineageKeys {self.public_key.hex()[:16]}>"


def find_lineage_seed(identity: Identity, secret: bytes, puzzle_bits: int) -> bytes:
    """The seed of a lineage of this identity: 2**bits tries of 40 us each.

    The lineage key publishes records, so it costs as much as an identity (`protocol/identity`). As
    the secret is random, no identity that has lost its vault makes the key of another mod again.
    """
    root = sealing.derive_key(identity.seed, "lineage seeds", secret)
    for counter in count():
        seed = hashlib.blake2b(counter.to_bytes(8), key=root, digest_size=32).digest()
        if solves_puzzle(crypto_sign_seed_keypair(seed)[0], puzzle_bits):
            return seed
    raise AssertionError  # the count has no end
