"""Signed, expiring, sequence-numbered records: all that the DHT stores.

A record is the canonical list

    [kind, public key, sequence, issued, expires, body, signature]

with times in whole seconds since 1970. Stores and readers both verify everything, so a store
cannot forge a record, only withhold it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protocol import addresses, limits
from protocol.addresses import Address
from protocol.availability import Availability
from protocol.codec import decode_canonical, encode, list_of, ranged, shape, sized
from protocol.content.lineage.body import LineageBody
from protocol.errors import Expired, IssuedInFuture, Malformed, Oversized, WrongKey
from protocol.identity import Identity, PeerId, checked_peer_id, peer_id_of, verify

PEER = 1
PROVIDER = 2
AVAILABILITY = 3
LINEAGE = 4

_RECORD_ITEMS = 8


@dataclass(frozen=True, slots=True)
class PeerBody:
    """The addresses at which a peer can be reached, and how its availability is sharded."""

    addresses: tuple[Address, ...]
    capabilities: int
    versions: tuple[int, int]
    shard_bits: int

    def encode(self) -> bytes:
        """The body's bytes."""
        packed = [addresses.pack_address(address) for address in self.addresses]
        return encode([packed, self.capabilities, list(self.versions), self.shard_bits])

    @classmethod
    def decode(cls, data: bytes) -> "PeerBody":
        """Read a body; raises Malformed."""
        value = decode_canonical(data, max_bytes=limits.PEER_RECORD_BYTES, max_items=16)
        packed, capabilities, versions, shard_bits = shape(value, list, int, list, int)
        list_of(packed, bytes, max_items=limits.PEER_ADDRESSES)
        low, high = shape(versions, int, int)
        ranged(low, 1, high)
        return cls(
            tuple(addresses.unpack_address(item) for item in packed),
            ranged(capabilities, 0, 0xFFFF),
            (low, ranged(high, 1, 0xFFFF)),
            ranged(shard_bits, 0, limits.SHARD_BITS_MAX),
        )


@dataclass(frozen=True, slots=True)
class ProviderBody:
    """One peer serves one mod, whole or in part."""

    mod_id: bytes
    complete: bool

    def encode(self) -> bytes:
        """The body's bytes."""
        return encode([self.mod_id, self.complete])

    @classmethod
    def decode(cls, data: bytes) -> "ProviderBody":
        """Read a body; raises Malformed."""
        mod_id, complete = shape(decode_canonical(data, max_bytes=64, max_items=4), bytes, bool)
        return cls(sized(mod_id, 32), complete)


Body = PeerBody | ProviderBody | Availability | LineageBody


def peer_key(peer_id: PeerId) -> bytes:
    """The DHT key of a peer record: the peer id itself, so that one lookup finds both."""
    return peer_id


def provider_key(mod_id: bytes) -> bytes:
    """The DHT key under which all providers of a mod are stored."""
    return _derived(b"provider", mod_id)


def availability_key(peer_id: PeerId, shard_bits: int, shard: int) -> bytes:
    """The DHT key of one shard of a peer's availability."""
    return _derived(b"availability", peer_id + bytes((shard_bits,)) + shard.to_bytes(2))


def lineage_key(public_key: bytes) -> bytes:
    """The DHT key of a lineage's record: its publisher's alone, as it follows from its own key."""
    return _derived(b"lineage", public_key)


def _derived(purpose: bytes, value: bytes) -> bytes:
    return hashlib.sha256(b"modswarm/key/" + purpose + b"\0" + value).digest()[: limits.ID_BYTES]


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    max_bytes: int
    decode: Callable[[bytes], Any]
    key: Callable[[bytes, Any], bytes]
    """Of the public key and the body."""


_KINDS: dict[int, _Kind] = {
    PEER: _Kind(
        "peer",
        limits.PEER_RECORD_BYTES,
        PeerBody.decode,
        lambda public_key, _: peer_key(peer_id_of(public_key)),
    ),
    PROVIDER: _Kind(
        "provider",
        limits.RECORD_BYTES,
        ProviderBody.decode,
        lambda _, body: provider_key(body.mod_id),
    ),
    AVAILABILITY: _Kind(
        "availability",
        limits.RECORD_BYTES,
        Availability.decode,
        lambda public_key, body: availability_key(
            peer_id_of(public_key), body.shard_bits, body.shard
        ),
    ),
    LINEAGE: _Kind(
        "lineage",
        limits.RECORD_BYTES,
        LineageBody.decode,
        lambda public_key, _: lineage_key(public_key),
    ),
}


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was made here or has been verified. `raw` is its wire form."""

    kind: int
    public_key: bytes
    sequence: int
    issued: int
    expires: int
    body: Body
    raw: bytes

    @property
    def peer_id(self) -> PeerId:
        """The publisher."""
        return peer_id_of(self.public_key)

    @property
    def key(self) -> bytes:
        """The one DHT key it may be stored under, 20 bytes."""
        return _KINDS[self.kind].key(self.public_key, self.body)


def make(identity: Identity, kind: int, body: Body, *, now: float, sequence: int) -> Record:
    """Sign a record of ours, valid from `now` (wall seconds) for its kind's whole lifetime.

    Raises Oversized.
    """
    issued = int(now)
    expires = issued + limits.RECORD_LIFETIME_S[_KINDS[kind].name]
    fields = [kind, identity.public_key, sequence, issued, expires, body.encode()]
    raw = encode([*fields, identity.sign("record", encode(fields))])
    if len(raw) > _KINDS[kind].max_bytes:
        raise Oversized(f"a {_KINDS[kind].name} record of {len(raw)} bytes")
    return Record(kind, identity.public_key, sequence, issued, expires, body, raw)


def read(
    raw: bytes, *, key: bytes, now: float, puzzle_bits: int, may_be_expired: bool = False
) -> Record:
    """Verify a record found under, or to be stored under, the DHT key `key`.

    `may_be_expired`: it counts as the newest that is known also after its time. Raises Malformed,
    Oversized, NotCanonical, Expired, IssuedInFuture, BadPuzzle, BadSignature, WrongKey. The
    signature is checked last but for the key, because it costs 100 us.
    """
    value = decode_canonical(raw, max_bytes=limits.RECORD_BYTES, max_items=_RECORD_ITEMS)
    fields = shape(value, int, bytes, int, int, int, bytes, bytes)
    kind, public_key, sequence, issued, expires, body, signature = fields
    rules = _KINDS.get(kind)
    if rules is None:
        raise Malformed(f"a record of unknown kind {kind}")
    if len(raw) > rules.max_bytes:
        raise Oversized(f"a {rules.name} record of {len(raw)} bytes")
    sized(public_key, limits.KEY_BYTES)
    ranged(sequence, 0, limits.SEQUENCE_MAX)
    _check_times(issued, expires, limits.RECORD_LIFETIME_S[rules.name])
    if issued > now + limits.CLOCK_SKEW_S:
        raise IssuedInFuture("a record issued in the future")
    if expires <= now and not may_be_expired:
        raise Expired("a record past its expiry")
    checked_peer_id(public_key, puzzle_bits)
    record = Record(kind, public_key, sequence, issued, expires, rules.decode(body), raw)
    if record.key != key:
        raise WrongKey(f"a {rules.name} record that belongs under another key")
    verify(public_key, "record", encode(fields[:-1]), signature)
    return record


def claim_of(raw: bytes) -> tuple[int, bytes, int]:
    """The kind, the public key and the sequence that bytes claim to be a record of.

    Nothing is verified: it tells whether that is worth its cost. Raises Malformed.
    """
    value = decode_canonical(raw, max_bytes=limits.RECORD_BYTES, max_items=_RECORD_ITEMS)
    kind, public_key, sequence, *_ = shape(value, int, bytes, int, int, int, bytes, bytes)
    return kind, sized(public_key, limits.KEY_BYTES), ranged(sequence, 0, limits.SEQUENCE_MAX)


def _check_times(issued: int, expires: int, lifetime_s: int) -> None:
    if not issued < expires <= issued + lifetime_s:
        raise Malformed("a record whose lifetime is not its kind's")
