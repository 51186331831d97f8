"""DHT nodes that can be reached unasked, in their wire form of 38 or 50 bytes."""

from collections.abc import Sequence
from functools import lru_cache

from protocol import addresses, limits
from protocol.addresses import Address
from protocol.errors import Malformed, Oversized
from protocol.identity import PeerId, effort_bits, id_number

PACKED_BYTES = {4: limits.KEY_BYTES + 6, 6: limits.KEY_BYTES + 18}
"""Bytes of one contact by address family."""

_PACKED_V4_BYTES = PACKED_BYTES[4]
_UNCHECKED = -2
_NOWHERE = -1


class Contact:
    """A public key at an address. Cheap to make and small: replies carry twenty of them.

    `packed` is the wire form (key, address, port), `number` the peer id as an integer for XOR
    distances. A contact that another node names may be invalid: see `is_valid`, which notes in
    `effort_bits` the zero bits of the key's puzzle, or a negative number for an invalid address.
    """

    __slots__ = ("effort_bits", "number", "packed")

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        self.number = id_number(packed[: limits.KEY_BYTES])
        self.effort_bits = _UNCHECKED

    @staticmethod
    def at(public_key: bytes, address: Address) -> "Contact":
        """The contact with this key at this address."""
        return _shared(public_key + addresses.pack_address(address))

    @property
    def family(self) -> int:
        """4 or 6."""
        return 4 if len(self.packed) == _PACKED_V4_BYTES else 6

    @property
    def peer_id(self) -> PeerId:
        """20 bytes; `number` is the same and at hand."""
        return self.number.to_bytes(limits.ID_BYTES)

    @property
    def public_key(self) -> bytes:
        """Ed25519, 32 bytes."""
        return self.packed[: limits.KEY_BYTES]

    @property
    def address(self) -> Address:
        """Its address; raises Malformed for bytes that are no address."""
        return addresses.unpack_address(self.packed[limits.KEY_BYTES :])

    def is_valid(self, puzzle_bits: int) -> bool:
        """Whether the key solves the identity puzzle, and the address is one. Checked once."""
        if self.effort_bits == _UNCHECKED:
            try:
                _ = self.address
            except Malformed:
                self.effort_bits = _NOWHERE
            else:
                self.effort_bits = effort_bits(self.public_key)
        return self.effort_bits >= puzzle_bits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Contact) and self.packed == other.packed

    def __hash__(self) -> int:
        return hash(self.packed)

    def __repr__(self) -> str:
        try:
            where = str(self.address)
        except Malformed as error:  # a log line may show a contact that a peer named
            where = str(error)
        return f"<Contact {self.peer_id.hex()[:8]} {where}>"


def pack_contacts(nearest: Sequence[Contact], room_bytes: int) -> tuple[bytes, bytes]:
    """As many contacts as fit, the first ones first, by family: IPv4 and IPv6."""
    all_packed = [contact.packed for contact in nearest]
    if {len(one) for one in all_packed} == {_PACKED_V4_BYTES}:  # nearly always, and faster
        return b"".join(all_packed[: max(0, room_bytes) // _PACKED_V4_BYTES]), b""
    packed: dict[int, list[bytes]] = {4: [], 6: []}
    for contact in nearest:
        room_bytes -= PACKED_BYTES[contact.family]
        if room_bytes < 0:
            break
        packed[contact.family].append(contact.packed)
    return b"".join(packed[4]), b"".join(packed[6])


def unpack_contacts(data: bytes, family: int) -> list[Contact]:
    """The contacts that `pack_contacts` packed; raises Malformed, Oversized."""
    size = PACKED_BYTES[family]
    count, rest = divmod(len(data), size)
    if rest:
        raise Malformed(f"{len(data)} bytes are not a whole number of contacts")
    if count > limits.CONTACTS_PER_REPLY:
        raise Oversized(f"{count} contacts in one reply")
    return [_shared(data[start : start + size]) for start in range(0, len(data), size)]


_shared = lru_cache(maxsize=limits.CONTACTS_SHARED)(Contact)
"""The replies of a lookup name mostly the same contacts, and senders are among them: each is hashed
and kept once."""
