"""Tells datagrams apart, once: each goes to exactly one owner, or is counted under one name.

    first byte   protocol                            its owner is found by
    0..3         STUN (RFC 8489), its responses      transaction id
                 STUN, all other messages            receiver's ufrag in USERNAME
    20..63       DTLS (RFC 7983)                     remote address
    any other    what registered for the byte, as    first byte
                 modswarm's DHT does (0xD0..0xDF)

So DHT, ICE and DTLS of many links can share one port. STUN comes before addresses because ICE
checks arrive from addresses that nothing is known of yet. Nothing here is authenticated: the owner
of a datagram still has to. A `Demux` knows bytes and addresses and no sockets, so ports that belong
together may share one; `local`, the bound address of the port, tells an owner where to answer from.

Bulk stays bulk: a buffer of nothing but DTLS application records reaches its link whole, and all
such buffers of one burst at once. Only that may wait until the burst ends, or until the next
STUN or DTLS datagram of another kind, so that a link gets everything in the order of its arrival.
"""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from node.counters import Counters
from node.net.udp.port import Arrival, source_address, split
from protocol import limits
from protocol.addresses import Address
from protocol.errors import AlreadyOwned, Overloaded, RemoteError
from protocol.stun.peek import peek

APPLICATION_DATA: Final = 23
"""The content type of DTLS records that carry SCTP (RFC 6347, 4.1)."""

_STUN: Final = range(4)
_DTLS: Final = range(20, 64)

_Key = TypeVar("_Key", bytes, tuple[str, int])

DatagramReader = Callable[[bytes, Address], None]
"""Takes a datagram and its source. A RemoteError that it raises is counted, and no more."""

RecordBuffers = list[tuple[bytes, int]]
"""Buffers of DTLS application records, each with the size of the datagrams in it."""


class DatagramOwner(Protocol):
    """What a link takes from a port."""

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Take a STUN message that is a response to this owner, or that names its ufrag."""
        ...

    def dtls_received(self, datagram: bytes) -> None:
        """Take a datagram of DTLS from a registered address."""
        ...

    def records_received(self, buffers: RecordBuffers) -> None:
        """Take buffers of DTLS application records from registered addresses."""
        ...


class Demux:
    """Finds the owner of each datagram of a burst, and counts what arrives.

    Registering raises AlreadyOwned if another owner has the same, and Overloaded at the limit.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._unknown: DatagramReader = self._unknown_first_byte
        # None stands for the kinds of datagrams that links have.
        self._readers: list[DatagramReader | None] = [
            None if first_byte in _STUN or first_byte in _DTLS else self._unknown
            for first_byte in range(256)
        ]
        self._transactions: dict[bytes, DatagramOwner] = {}
        self._ufrags: dict[bytes, DatagramOwner] = {}
        self._remotes: dict[tuple[str, int], DatagramOwner] = {}

    # Registering ----------------------------------------------------------------------------

    def register_reader(self, first_byte: int, reader: DatagramReader) -> None:
        """Give `reader` all datagrams that start with this byte, which is none of a link's.

        Raises AlreadyOwned.
        """
        if self._readers[first_byte] is not self._unknown:
            raise AlreadyOwned(f"datagrams that start with {first_byte:#x} have a reader")
        self._readers[first_byte] = reader

    def expect_response(self, transaction: bytes, owner: DatagramOwner) -> None:
        """Give `owner` the STUN responses with this transaction id, until it is forgotten."""
        _register(self._transactions, transaction, owner, limits.STUN_TRANSACTIONS)

    def forget_response(self, transaction: bytes) -> None:
        """Expect no response with this transaction id any more."""
        self._transactions.pop(transaction, None)

    def register_ufrag(self, ufrag: str, owner: DatagramOwner) -> None:
        """Give `owner` the STUN requests and indications that are addressed to `ufrag`.

        The empty one stands for messages without USERNAME, such as those to a STUN server.
        """
        _register(self._ufrags, ufrag.encode(), owner, limits.ICE_UFRAGS)

    def register_remote(self, address: Address, owner: DatagramOwner) -> None:
        """Give `owner` the DTLS datagrams from this address."""
        _register(self._remotes, address, owner, limits.LINK_ADDRESSES)

    def release(self, owner: DatagramOwner) -> None:
        """Forget every transaction, ufrag and address of an owner."""
        _release(self._transactions, owner)
        _release(self._ufrags, owner)
        _release(self._remotes, owner)

    # Receiving ------------------------------------------------------------------------------

    def burst_received(self, burst: list[Arrival], local: Address) -> None:
        """Hand over what arrived at one wake-up on the port that is bound to `local`."""
        readers, remotes = self._readers, self._remotes
        waiting: dict[DatagramOwner, RecordBuffers] = {}
        received = received_bytes = 0
        for buffer, size, source in burst:
            length = len(buffer)
            count = -(-length // size) if 0 < size < length else 1
            received += count
            received_bytes += length
            if not length:
                self._counters.refused["empty_datagram"] += 1
                continue
            if buffer[0] == APPLICATION_DATA and (
                count == 1 or buffer[::size].count(APPLICATION_DATA) == count
            ):
                # Nearly all sources are spelled as they are registered.
                owner = remotes.get(source[:2]) or remotes.get(source_address(source))
                if owner is None:
                    self._counters.refused["unknown_remote"] += count
                else:
                    waiting.setdefault(owner, []).append((buffer, size))
                continue
            address = source_address(source)
            for datagram in (buffer,) if count == 1 else split(buffer, size):
                reader = readers[datagram[0]]
                try:
                    if reader is not None:
                        reader(datagram, address)
                    else:
                        self._hand_to_link(datagram, address, local, waiting)
                except RemoteError as error:
                    self._counters.refuse(error)
        self._counters.datagrams_received += received
        self._counters.bytes_received += received_bytes
        if waiting:
            _hand_over(waiting)

    def _hand_to_link(
        self,
        datagram: bytes,
        source: Address,
        local: Address,
        waiting: dict[DatagramOwner, RecordBuffers],
    ) -> None:
        """Hand over STUN or DTLS, after the application records that came before it."""
        _hand_over(waiting)
        if datagram[0] in _STUN:
            if (owner := self._stun_owner(datagram)) is not None:
                owner.stun_received(datagram, source, local)
        elif (owner := self._remotes.get(source)) is not None:
            owner.dtls_received(datagram)
        else:
            self._counters.refused["unknown_remote"] += 1

    def _stun_owner(self, message: bytes) -> DatagramOwner | None:
        """The owner of a STUN message; None once it is counted that there is none."""
        seen = peek(message)
        if seen is None:
            owner, name = None, "malformed_stun"
        elif seen.is_response:
            owner, name = self._transactions.get(seen.transaction), "unknown_stun_transaction"
        else:
            owner, name = self._ufrags.get(seen.ufrag), "unknown_ufrag"
        if owner is None:
            self._counters.refused[name] += 1
        return owner

    def _unknown_first_byte(self, _datagram: bytes, _source: Address) -> None:
        self._counters.refused["unknown_first_byte"] += 1


def _hand_over(waiting: dict[DatagramOwner, RecordBuffers]) -> None:
    """Each buffer is handed over once, even if its owner raises."""
    for owner in tuple(waiting):
        owner.records_received(waiting.pop(owner))


def _register(table: dict[_Key, DatagramOwner], key: _Key, owner: DatagramOwner, most: int) -> None:
    if table.get(key, owner) is not owner:
        raise AlreadyOwned(f"{key!r} belongs to another part of this node")
    if len(table) >= most and key not in table:
        raise Overloaded(f"no room beside {most} of them")
    table[key] = owner


def _release(table: dict[_Key, DatagramOwner], owner: DatagramOwner) -> None:
    for key in [key for key, value in table.items() if value is owner]:
        del table[key]
