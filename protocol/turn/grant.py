"""The credentials for one relay, as its answer to CREDENTIALS hands them out over the DHT.

[username, password, nonce, realm, lifetime in s,
[lifetime of an allocation in s, bytes/s of one allocation, bytes/s in all, bytes a day in all]]
"""

from dataclasses import dataclass
from typing import Any

from protocol import limits
from protocol.codec import ranged, shape
from protocol.errors import Oversized

_RATE_MAX = 2**40
_DAY_MAX = 2**53


@dataclass(frozen=True, slots=True)
class RelayTerms:
    """What a relay allows: bytes a second that it sends on with IP and UDP headers, and in 24 h."""

    allocation_s: int
    rate_each: int
    rate_total: int
    bytes_a_day: int


@dataclass(frozen=True, slots=True)
class RelayGrant:
    """Long-term credentials (RFC 8489, 9.2) and the nonce for the first request.

    They are good for `lifetime_s`, at the address that asked for them.
    """

    username: str
    password: str
    nonce: str
    realm: str
    lifetime_s: int
    terms: RelayTerms


def encode_grant(grant: RelayGrant) -> list[Any]:
    """The result of CREDENTIALS."""
    terms = grant.terms
    return [
        grant.username,
        grant.password,
        grant.nonce,
        grant.realm,
        grant.lifetime_s,
        [terms.allocation_s, terms.rate_each, terms.rate_total, terms.bytes_a_day],
    ]


def decode_grant(result: list[Any]) -> RelayGrant:
    """Read the same; raises Malformed, Oversized."""
    username, password, nonce, realm, lifetime_s, terms = shape(
        result, str, str, str, str, int, list
    )
    for text in (username, password, nonce, realm):
        if len(text.encode()) > limits.RELAY_CREDENTIAL_BYTES:
            raise Oversized(f"a credential of {len(text)} characters")
    ranged(lifetime_s, 1, limits.RELAY_CREDENTIALS_S)
    allocation_s, rate_each, rate_total, bytes_a_day = shape(terms, int, int, int, int)
    ranged(allocation_s, 1, limits.RELAY_ALLOCATION_S)
    ranged(rate_each, 1, _RATE_MAX)
    ranged(rate_total, 1, _RATE_MAX)
    ranged(bytes_a_day, 1, _DAY_MAX)
    told = RelayTerms(allocation_s, rate_each, rate_total, bytes_a_day)
    return RelayGrant(username, password, nonce, realm, lifetime_s, told)
