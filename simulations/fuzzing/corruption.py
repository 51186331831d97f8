"""Real traffic damaged on its way: in the datagram, or in the body before it is sealed.

A bad line, or an attacker on it, damages datagrams; a node with a defect, or a malicious one, sends
damaged bodies under its valid key, which reach all code behind the decryption.
"""

import random

from simulations.libraries.ciphers import RememberedAgreements

_SPLICED_KEPT = 64
_INTERESTING = (0, 1, 0x7F, 0x80, 0x90, 0xC0, 0xC4, 0xD0, 0xDC, 0xFF)


class Damager:
    """Damages a `share` of what passes, by one seed; `count` tells how often."""

    def __init__(self, seed: int, share: float) -> None:
        self.rng = random.Random(seed)
        self.share = share
        self.count = 0
        self._seen: list[bytes] = []

    def damaged(self, data: bytes) -> bytes:
        """The data, or what became of them."""
        rng = self.rng
        if rng.random() >= self.share or not data:
            return data
        self.count += 1
        if len(self._seen) < _SPLICED_KEPT:
            self._seen.append(data)
        return rng.choice(_WAYS)(rng, data, rng.choice(self._seen) if self._seen else data)


def _flip(rng: random.Random, data: bytes, _: bytes) -> bytes:
    changed = bytearray(data)
    for _number in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(rng: random.Random, data: bytes, _: bytes) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] = rng.choice(_INTERESTING)
    return bytes(changed)


def _cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _drop_middle(rng: random.Random, data: bytes, _: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 16) :]


def _insert(rng: random.Random, data: bytes, _: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + rng.randbytes(rng.randint(1, 16)) + data[start:]


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


_WAYS = (_flip, _overwrite, _cut, _drop_middle, _insert, _splice)


class DamagingCipher(RememberedAgreements):
    """The real cipher, but for what it is given to seal."""

    def __init__(self, damager: Damager, body_bytes_max: int) -> None:
        self._damager = damager
        self._body_bytes_max = body_bytes_max

    def encrypt(self, key: bytes, header: bytes, nonce: bytes, body: bytes) -> bytes:
        """See PacketCipher."""
        sealed = self._damager.damaged(body)[: self._body_bytes_max]
        return super().encrypt(key, header, nonce, sealed)
