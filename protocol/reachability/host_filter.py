"""A Bloom filter of the hosts that a node has sent to, by which another one avoids them.

It is drawn anew for each dial-back, salted by its random, so that a host which one filter holds by
chance is not in the next. In larger overlays few contacts are among those sent to, and no filter is
needed.
"""

import hashlib
import ipaddress
from collections.abc import Collection
from functools import lru_cache

from protocol import limits

_HASHES = 3
_HASH_BYTES = 2
_BITS = 8 * limits.HOST_FILTER_BYTES


def make_host_filter(hosts: Collection[str], salt: bytes) -> bytes:
    """HOST_FILTER_BYTES that hold these IP literals; none where there are too many of them."""
    if len(hosts) > limits.HOST_FILTER_HOSTS:
        return b""
    bits = 0
    for host in hosts:
        bits |= _mask(host, salt)
    return bits.to_bytes(limits.HOST_FILTER_BYTES)


def holds(host_filter: bytes, host: str, salt: bytes) -> bool:
    """Whether the filter holds this IP literal, or seems to: at most once in 3 for others."""
    mask = _mask(host, salt)
    return int.from_bytes(host_filter) & mask == mask


@lru_cache(maxsize=limits.RECENT_HOSTS)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


def _mask(host: str, salt: bytes) -> int:
    digest = hashlib.blake2b(
        salt + _packed(host),
        digest_size=_HASHES * _HASH_BYTES,
        person=b"modswarm/hosts",
    ).digest()
    mask = 0
    for start in range(0, len(digest), _HASH_BYTES):
        mask |= 1 << int.from_bytes(digest[start : start + _HASH_BYTES]) % _BITS
    return mask
