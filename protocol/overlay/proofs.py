"""Keyed hashes by which a sender proves that it receives at its address.

A token (BEP 5) goes to a peer with every response. A cookie goes to the sender of an unknown key,
before a key agreement is spent on it; as in WireGuard (5.3) it is asked for under load only.
"""

import hashlib

from protocol import limits
from protocol.addresses import Address, pack_address


def proof_of_address(
    secret: bytes, purpose: bytes, size: int, public_key: bytes, address: Address, period: int
) -> bytes:
    """`size` bytes over peer, address and period, which take `secret` to make.

    `purpose` has at most 16 bytes.
    """
    proved = public_key + pack_address(address) + (period & 0xFFFFFFFF).to_bytes(4)
    return hashlib.blake2b(proved, key=secret, digest_size=size, person=purpose).digest()


class Cookies:
    """Cookies of one node. A cookie is valid in the period it was made in and the next."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, public_key: bytes, address: Address, now: float) -> bytes:
        """The cookie for a key at an address; `now` is monotonic seconds."""
        return self._of(public_key, address, int(now // limits.TOKEN_PERIOD_S))

    def proves(self, cookie: bytes, public_key: bytes, address: Address, now: float) -> bool:
        """Whether `cookie` was made for this key at this address, in this period or the last."""
        period = int(now // limits.TOKEN_PERIOD_S)
        return cookie in {self._of(public_key, address, one) for one in (period, period - 1)}

    def _of(self, public_key: bytes, address: Address, period: int) -> bytes:
        return proof_of_address(
            self._secret, b"modswarm/cookie", limits.COOKIE_BYTES, public_key, address, period
        )
