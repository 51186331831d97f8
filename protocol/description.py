"""Descriptions: what two peers need of each other to open a link, in place of SDP.

    description  [username, password, fingerprint, role, [candidate, ...], features,
                  nat, [relay, ...], [witness, ...], SCTP INIT, session, link]
    candidate    one byte of kind, then the packed address
    nat          [], or what `protocol.reachability.nat_report` says of the sender's router
    relay        public key, then the packed address; a witness likewise
    link         empty, or the id of the offer that made the open link whose ICE is to restart

Everything that SDP would add is fixed or derived: one component over UDP, one data channel,
SHA-256 fingerprints, and ICE's priorities and foundations, which follow from kind and place in the
list. Empty fields cost a byte or two each: two IPv4 candidates and nothing else make 99 bytes.
"""

import base64
import re
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

from protocol import addresses, limits
from protocol.addresses import Address
from protocol.codec import decode_canonical, encode, list_of, ranged, shape, sized
from protocol.errors import Malformed, Oversized, Truncated
from protocol.ice.candidates import CandidateKind
from protocol.noise_session import EPHEMERAL_BYTES, SESSION_ANSWER_BYTES
from protocol.overlay.contacts import PACKED_BYTES, Contact
from protocol.randomness import Random
from protocol.reachability.nat_report import UNKNOWN_NAT, NatReport

FINGERPRINT_BYTES = 32
LINK_ID_BYTES = 16

_USERNAME = re.compile(rf"[A-Za-z0-9+/]{{4,{limits.ICE_USERNAME_CHARS}}}")
_PASSWORD = re.compile(rf"[A-Za-z0-9+/]{{22,{limits.ICE_PASSWORD_CHARS}}}")

_USERNAME_RANDOM_BYTES = 6
_PASSWORD_RANDOM_BYTES = 18

_FIELDS = (str, str, bytes, int, list, int, list, list, list, bytes, bytes, bytes)
_SESSION_BYTES = (0, EPHEMERAL_BYTES, SESSION_ANSWER_BYTES)


class Features(IntFlag):
    """What a side can do beyond what each must; bits that a reader does not know mean nothing.

    1 was an SCTP's that acknowledged each burst, and is not given again.
    """

    ASKS_FOR_SACKS = 2
    """Its SCTP asks for a SACK where it needs one, and leaves it to the peer's to ask likewise."""

    RESTARTS_BY_FRAMES = 4
    """It takes offers to restart the link as frames on the link (`protocol.restarting.frames`)."""


class DtlsRole(IntEnum):
    """RFC 5763, 5: an offer leaves the choice open, and an answer makes it."""

    ACTPASS = 0
    ACTIVE = 1
    """The client."""
    PASSIVE = 2
    """The server."""


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
            CandidateKind(ranged(data[0], 0, CandidateKind.RELAYED)),
            addresses.unpack_address(data[1:]),
        )


@dataclass(frozen=True, slots=True)
class Description:
    """One side of a link to be; raises Malformed for what ICE or DTLS could not use.

    `fingerprint` is the SHA-256 of the DTLS certificate in DER. Candidates stand in the sender's
    order of preference. `features`: what the sender can do, bits of later versions among them.
    `nat`: the sender's router, as it knows it.
    `relays`: where the sender is ready to allocate, best first; of an answer's RELAYS_ANSWERED
    count, and both sides' count for both. `witnesses`: contacts of the sender's choice with which
    the peer leaves its token if many probes are to punch it. `sctp_init`: the value of an INIT
    chunk (RFC 9260, 3.3.2), with which the association stands once both sides have named theirs;
    empty where it begins with a handshake. `session`: the ephemeral key of an offer, the message of
    an answer (`protocol.noise_session`); empty where no session is to follow, as with WebRTC peers.
    `link`: LINK_ID_BYTES that name an open link of the two sides, for which both begin ICE anew
    (RFC 8445, 9); empty for a new link.
    """

    ufrag: str
    password: str
    fingerprint: bytes
    role: int
    candidates: tuple[IceCandidate, ...]
    features: int = 0
    nat: NatReport = UNKNOWN_NAT
    relays: tuple[Contact, ...] = ()
    witnesses: tuple[Contact, ...] = ()
    sctp_init: bytes = b""
    session: bytes = b""
    link: bytes = b""

    def __post_init__(self) -> None:
        if not _USERNAME.fullmatch(self.ufrag):
            raise Malformed("not an ICE user name fragment")
        if not _PASSWORD.fullmatch(self.password):
            raise Malformed("not an ICE password")
        sized(self.fingerprint, FINGERPRINT_BYTES)
        ranged(self.role, DtlsRole.ACTPASS, DtlsRole.PASSIVE)
        ranged(self.features, 0, limits.DESCRIPTION_FEATURES)
        for count, most, what in (
            (len(self.candidates), limits.CANDIDATES, "candidates"),
            (len(self.relays), limits.RELAYS_NAMED, "relays"),
            (len(self.witnesses), limits.WITNESSES, "witnesses"),
            (len(self.sctp_init), limits.SCTP_INIT_BYTES, "bytes of an SCTP INIT"),
        ):
            if count > most:
                raise Oversized(f"{count} {what} where at most {most} are allowed")
        if len(self.session) not in _SESSION_BYTES:
            raise Malformed(f"{len(self.session)} bytes that are to begin a session")
        if self.link:
            sized(self.link, LINK_ID_BYTES)
        for contact in (*self.relays, *self.witnesses):
            _ = contact.address  # raises Malformed for what is none
        if any(contact.family != 4 for contact in self.witnesses):
            raise Malformed("a witness without IPv4, where alone ports are searched for")

    @property
    def asks_for_sacks(self) -> bool:
        """Whether the sender has this feature."""
        return bool(self.features & Features.ASKS_FOR_SACKS)

    @property
    def restarts_by_frames(self) -> bool:
        """Whether the sender has this feature."""
        return bool(self.features & Features.RESTARTS_BY_FRAMES)

    def encode(self) -> bytes:
        """The canonical bytes, at most DESCRIPTION_BYTES."""
        return encode(
            [
                self.ufrag,
                self.password,
                self.fingerprint,
                int(self.role),
                [candidate.encode() for candidate in self.candidates],
                int(self.features),
                self.nat.fields(),
                [relay.packed for relay in self.relays],
                [witness.packed for witness in self.witnesses],
                self.sctp_init,
                self.session,
                self.link,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> "Description":
        """The description that `encode` spelled; raises Malformed and its children."""
        value = decode_canonical(data, max_bytes=limits.DESCRIPTION_BYTES, max_items=len(_FIELDS))
        (
            ufrag,
            password,
            fingerprint,
            role,
            packed,
            features,
            nat,
            relays,
            witnesses,
            sctp_init,
            session,
            link,
        ) = shape(value, *_FIELDS)
        return cls(
            ufrag,
            password,
            fingerprint,
            DtlsRole(ranged(role, 0, max(DtlsRole))),
            tuple(map(IceCandidate.decode, list_of(packed, bytes, max_items=limits.CANDIDATES))),
            features=features,
            nat=NatReport.from_fields(nat),
            relays=_contacts(relays, limits.RELAYS_NAMED),
            witnesses=_contacts(witnesses, limits.WITNESSES),
            sctp_init=sctp_init,
            session=session,
            link=link,
        )


def _contacts(value: list[Any], most: int) -> tuple[Contact, ...]:
    packed: list[bytes] = list_of(value, bytes, max_items=most)
    for one in packed:
        if len(one) not in PACKED_BYTES.values():
            raise Malformed(f"a contact of {len(one)} bytes")
    return tuple(map(Contact, packed))


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
