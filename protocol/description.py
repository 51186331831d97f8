"""Descriptions: what two peers need of each other to open a link, in place of SDP.

    description  [username, password, fingerprint, role, [candidate, ...], features]
    candidate    one byte of kind, then the packed address

Everything that SDP would add is fixed or derived: one component over UDP, one data channel,
SHA-256 fingerprints, and ICE's priorities and foundations, which follow from kind and place in the
list. Features stand there only if there are any. Two IPv4 candidates make 88 bytes.
"""

import base64
import re
from dataclasses import dataclass
from enum import IntEnum

from protocol import addresses, limits
from protocol.addresses import Address
from protocol.codec import decode_canonical, encode, list_of, ranged, shape, sized
from protocol.errors import Malformed, Oversized, Truncated
from protocol.randomness import Random

FINGERPRINT_BYTES = 32

_USERNAME = re.compile(rf"[A-Za-z0-9+/]{{4,{limits.ICE_USERNAME_CHARS}}}")
_PASSWORD = re.compile(rf"[A-Za-z0-9+/]{{22,{limits.ICE_PASSWORD_CHARS}}}")

_USERNAME_RANDOM_BYTES = 6
_PASSWORD_RANDOM_BYTES = 18

_COMPONENT = 1

_FIELDS = (str, str, bytes, int, list)
_TAKES_BURSTS = 1


class CandidateKind(IntEnum):
    """How an address was learned. Peer-reflexive ones are never sent."""

    HOST = 0
    SERVER_REFLEXIVE = 1
    RELAYED = 2


class DtlsRole(IntEnum):
    """RFC 5763, 5: an offer leaves the choice open, and an answer makes it."""

    ACTPASS = 0
    ACTIVE = 1
    """The client."""
    PASSIVE = 2
    """The server."""


_TYPE_PREFERENCES = {
    CandidateKind.HOST: 126,
    CandidateKind.SERVER_REFLEXIVE: 100,
    CandidateKind.RELAYED: 0,
}


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """An address to try, with a canonical IP literal; raises NotUnicast, Malformed."""

    kind: int
    address: Address

    def __post_init__(self) -> None:
        ranged(self.kind, CandidateKind.HOST, CandidateKind.RELAYED)
        addresses.unicast(self.address)

    def encode(self) -> bytes:
        """7 bytes for IPv4, 19 for IPv6."""
        return bytes((self.kind,)) + addresses.pack_address(self.address)

    @classmethod
    def decode(cls, data: bytes) -> "IceCandidate":
        """The candidate that `encode` spelled; raises Malformed."""
        if not data:
            raise Truncated("an empty candidate")
        return cls(
            CandidateKind(ranged(data[0], 0, max(CandidateKind))),
            addresses.unpack_address(data[1:]),
        )


@dataclass(frozen=True, slots=True)
class Description:
    """One side of a link to be; raises Malformed for what ICE or DTLS could not use.

    `fingerprint` is the SHA-256 of the DTLS certificate in DER. Candidates stand in the sender's
    order of preference. `takes_bursts`: the sender's SCTP answers a burst of packets with one SACK,
    and knows what it means when the peer's does.
    """

    ufrag: str
    password: str
    fingerprint: bytes
    role: int
    candidates: tuple[IceCandidate, ...]
    takes_bursts: bool = False

    def __post_init__(self) -> None:
        if not _USERNAME.fullmatch(self.ufrag):
            raise Malformed("not an ICE user name fragment")
        if not _PASSWORD.fullmatch(self.password):
            raise Malformed("not an ICE password")
        sized(self.fingerprint, FINGERPRINT_BYTES)
        ranged(self.role, DtlsRole.ACTPASS, DtlsRole.PASSIVE)
        if len(self.candidates) > limits.CANDIDATES:
            raise Oversized(f"{len(self.candidates)} candidates")

    def encode(self) -> bytes:
        """The canonical bytes, at most DESCRIPTION_BYTES."""
        candidates = [candidate.encode() for candidate in self.candidates]
        fields = [self.ufrag, self.password, self.fingerprint, int(self.role), candidates]
        return encode([*fields, _TAKES_BURSTS] if self.takes_bursts else fields)

    @classmethod
    def decode(cls, data: bytes) -> "Description":
        """The description that `encode` spelled; raises Malformed and its children."""
        value = decode_canonical(
            data, max_bytes=limits.DESCRIPTION_BYTES, max_items=limits.CANDIDATES
        )
        has_features = isinstance(value, list) and len(value) > len(_FIELDS)
        fields = shape(value, *_FIELDS, int) if has_features else [*shape(value, *_FIELDS), 0]
        ufrag, password, fingerprint, role, packed, features = fields
        if has_features:
            ranged(features, _TAKES_BURSTS, _TAKES_BURSTS)
        return cls(
            ufrag,
            password,
            fingerprint,
            DtlsRole(ranged(role, 0, max(DtlsRole))),
            tuple(map(IceCandidate.decode, list_of(packed, bytes, max_items=limits.CANDIDATES))),
            takes_bursts=bool(features),
        )


def priority(kind: int, position: int) -> int:
    """The ICE priority of the candidate at this place of its description (RFC 8445, 5.1.2.1)."""
    local_preference = 65535 - position
    return _TYPE_PREFERENCES[CandidateKind(kind)] << 24 | local_preference << 8 | 256 - _COMPONENT


def fresh_credentials(rng: Random) -> tuple[str, str]:
    """An ICE user name fragment and a password, of 48 and 144 random bits (RFC 8445, 5.3)."""
    username = base64.b64encode(rng.randbytes(_USERNAME_RANDOM_BYTES))
    password = base64.b64encode(rng.randbytes(_PASSWORD_RANDOM_BYTES))
    return username.decode(), password.decode()


def answering_role(offered: int) -> DtlsRole:
    """What the answerer becomes: the client, unless the offerer insists on that (RFC 8842, 5.3).

    The answerer finishes ICE last, so its first flight never arrives too early.
    """
    return DtlsRole.PASSIVE if offered == DtlsRole.ACTIVE else DtlsRole.ACTIVE
