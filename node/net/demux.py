"""Tells datagrams apart, once: each goes to exactly one owner, or is counted under one name.

    first byte   protocol                            its owner is found by
    0..3         STUN (RFC 8489), its responses      first four bytes of the transaction id
                 STUN, all other messages            receiver's ufrag in USERNAME; the STUN server
                                                     gets those that name none that is here
    20..63       DTLS (RFC 7983)                     remote address
    64..127      TURN's channel data (RFC 8656)      one reader for all of it
    any other    what registered for the byte, as    first byte
                 modswarm's DHT does (0xD0..0xDF)

So DHT, STUN, TURN, ICE and DTLS of many links share one port. STUN comes before addresses because
ICE checks arrive from addresses that nothing is known of yet. Nothing here is authenticated: the
owner of a datagram still has to. A `Demux` knows bytes and addresses and no sockets, so ports that
belong together may share one; `local`, the bound address of the port, tells an owner where to
answer from.

Bulk stays bulk: a buffer of nothing but DTLS application records reaches its link whole, and all
such buffers of one burst at once; so do buffers of nothing but channel data reach their reader.
Only these may wait until the burst ends, or until the next STUN or DTLS datagram of another kind,
so that a link gets everything in the order of its arrival.
"""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from node.counters import Counters
from node.net.claim import Claim
from node.net.recent_hosts import RecentHosts
from node.net.udp.port import Arrival, source_address, split
from protocol import limits
from protocol.addresses import Address
from protocol.errors import AlreadyOwned, Overloaded, RemoteError
from protocol.stun.peek import peek

APPLICATION_DATA: Final = 23
"""The content type of DTLS records that carry SCTP (RFC 6347, 4.1)."""

_STUN: Final = range(4)
_DTLS: Final = range(20, 64)
_CHANNEL_DATA: Final = range(64, 128)
_WITH_OWNERS: Final = frozenset((*_STUN, *_DTLS, *_CHANNEL_DATA))

PREFIX_BYTES: Final = 4
"""The part of a transaction id that names its owner on this node; the rest is random."""

_Key = TypeVar("_Key", bytes, tuple[str, int])
_Owner = TypeVar("_Owner")

DatagramReader = Callable[[bytes, Address], None]
"""Takes a datagram and its source. A RemoteError that it raises is counted, and no more."""

ChannelBuffers = list[tuple[bytes, int, Address]]
"""Buffers of channel data, each with the size of the datagrams in it (the last may be shorter) and
their source."""

ChannelReader = Callable[[ChannelBuffers, Address], None]
"""Takes buffers of channel data, and the address of the port they came to."""

RecordBuffers = list[tuple[bytes, int]]
"""Buffers of DTLS application records, each with the size of the datagrams in it."""


class StunOwner(Protocol):
    """What takes STUN messages from a port: a link's ICE, a client or the server."""

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Take a message; a RemoteError that is raised is counted, and no more."""
        ...


class DtlsOwner(Protocol):
    """What a link takes from a port for its DTLS."""

    def dtls_received(self, datagram: bytes) -> None:
        """Take a datagram of DTLS from a registered address."""
        ...

    def records_received(self, buffers: RecordBuffers) -> None:
        """Take buffers of DTLS application records from registered addresses."""
        ...

    def claim(self) -> Claim:
        """What speaks for this owner's right to its address, where two of them want it."""
        ...

    def remote_taken_over(self, remote: Address) -> None:
        """The address has gone to another owner, to whose claim this one's gave way."""
        ...


class Demux:
    """Finds the owner of each datagram of a burst, and counts what arrives.

    Registering raises AlreadyOwned if another owner has the same, and Overloaded at the limit.
    """

    def __init__(self, counters: Counters, heard_hosts: RecentHosts) -> None:
        self._counters = counters
        self._heard_hosts = heard_hosts
        self._unknown: DatagramReader = self._unknown_first_byte
        # None stands for the kinds of datagrams that have owners of their own.
        self._readers: list[DatagramReader | None] = [
            None if first_byte in _WITH_OWNERS else self._unknown for first_byte in range(256)
        ]
        self._host_noted_here = [True] * 256
        self._read_channels: ChannelReader | None = None
        self._server: StunOwner | None = None
        self._transactions: dict[bytes, StunOwner] = {}
        self._ufrags: dict[bytes, StunOwner] = {}
        self._remotes: dict[tuple[str, int], DtlsOwner] = {}
        self._expected: dict[tuple[str, int], DtlsOwner] = {}

    # Registering ----------------------------------------------------------------------------

    def register_reader(
        self, first_byte: int, reader: DatagramReader, *, notes_hosts: bool = False
    ) -> None:
        """Give `reader` all datagrams that start with this byte, which has no meaning above.

        A reader that `notes_hosts` itself says which of their sources were heard from. Raises
        AlreadyOwned.
        """
        if self._readers[first_byte] is not self._unknown:
            raise AlreadyOwned(f"datagrams that start with {first_byte:#x} have a reader")
        self._readers[first_byte] = reader
        self._host_noted_here[first_byte] = not notes_hosts

    def register_channel_reader(self, reader: ChannelReader) -> None:
        """Give `reader` all channel data; raises AlreadyOwned if there is a reader."""
        if self._read_channels is not None:
            raise AlreadyOwned("channel data have a reader")
        self._read_channels = reader

    def register_stun_server(self, owner: StunOwner) -> None:
        """Give `owner` the STUN requests and indications that name no ufrag of this node.

        Raises AlreadyOwned if there is such an owner.
        """
        if self._server is not None:
            raise AlreadyOwned("there is a STUN server already")
        self._server = owner

    def register_transactions(self, prefix: bytes, owner: StunOwner) -> None:
        """Give `owner` the STUN responses whose transaction id begins with these four bytes."""
        if len(prefix) != PREFIX_BYTES:
            raise ValueError(f"a prefix has {PREFIX_BYTES} bytes")
        _register(self._transactions, prefix, owner, limits.STUN_OWNERS)

    def register_ufrag(self, ufrag: str, owner: StunOwner) -> None:
        """Give `owner` the STUN requests and indications that are addressed to `ufrag`."""
        _register(self._ufrags, ufrag.encode(), owner, limits.ICE_UFRAGS)

    def unregister_ufrag(self, ufrag: str) -> None:
        """Let nothing addressed to `ufrag` in any more, as after a restart of ICE."""
        self._ufrags.pop(ufrag.encode(), None)

    def expect_dtls(self, remote: Address, owner: DtlsOwner) -> None:
        """Give `owner` DTLS from an address that has proved itself, while no link has it."""
        if len(self._expected) < limits.LINK_ADDRESSES:
            self._expected.setdefault(remote, owner)

    def register_free_remote(self, remote: Address, owner: DtlsOwner) -> bool:
        """Do as `register_remote` if no other owner has the address; whether `owner` has it now.

        Raises Overloaded.
        """
        if self._remotes.get(remote, owner) is not owner:
            return False
        _register(self._remotes, remote, owner, limits.LINK_ADDRESSES)
        return True

    def register_remote(self, remote: Address, owner: DtlsOwner) -> None:
        """Give `owner` the DTLS datagrams from this address, for which ICE has nominated it.

        If another owner has it, their claims decide; AlreadyOwned tells that the other's stands.
        """
        holder = self._remotes.get(remote)
        if holder is None or holder is owner:
            _register(self._remotes, remote, owner, limits.LINK_ADDRESSES)
            return
        if not holder.claim().gives_way_to(owner.claim()):
            raise AlreadyOwned(f"datagrams from {remote} go to another link")
        self._remotes[remote] = owner
        holder.remote_taken_over(remote)

    def release(self, owner: object) -> None:
        """Forget every transaction, ufrag and address of an owner."""
        _release(self._transactions, owner)
        _release(self._ufrags, owner)
        _release(self._remotes, owner)
        _release(self._expected, owner)

    # Receiving ------------------------------------------------------------------------------

    def burst_received(self, burst: list[Arrival], local: Address) -> None:
        """Hand over what arrived at one wake-up on the port that is bound to `local`."""
        self._counters.received(*self._hand_out(burst, local))

    def unwrapped(self, burst: list[Arrival], local: Address) -> None:
        """The same for what a relay forwarded, which was counted when it arrived at a socket."""
        self._hand_out(burst, local)

    def _hand_out(self, burst: list[Arrival], local: Address) -> tuple[int, int]:
        """Hand a burst over; returns how many datagrams and bytes it has."""
        readers, remotes, noted_here = self._readers, self._remotes, self._host_noted_here
        waiting: dict[DtlsOwner, RecordBuffers] = {}
        channels: ChannelBuffers = []
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
                owner = remotes.get(source[:2]) or self._dtls_owner(source_address(source))
                if owner is None:
                    self._counters.refused["unknown_remote"] += count
                    self._heard_hosts.note(source_address(source).host)
                else:
                    waiting.setdefault(owner, []).append((buffer, size))
                continue
            address = source_address(source)
            if noted_here[buffer[0]]:
                self._heard_hosts.note(address.host)
            if buffer[0] in _CHANNEL_DATA and (count == 1 or _are_channel_data(buffer[::size])):
                channels.append((buffer, size, address))
                continue
            for datagram in (buffer,) if count == 1 else split(buffer, size):
                reader = readers[datagram[0]]
                try:
                    if reader is not None:
                        reader(datagram, address)
                    else:
                        self._hand_to_owner(datagram, address, local, waiting, channels)
                except RemoteError as error:
                    self._counters.refuse(error)
        if waiting:
            _hand_over(waiting)
        if channels:
            self._hand_to_channels(channels, local)
        return received, received_bytes

    def _hand_to_channels(self, channels: ChannelBuffers, local: Address) -> None:
        """Hand over what waits for the reader of channel data, each buffer once."""
        if not channels:
            return
        taken = channels[:]
        channels.clear()
        if self._read_channels is not None:
            self._read_channels(taken, local)
            return
        unknown = sum(-(-len(buffer) // (size or len(buffer))) for buffer, size, _ in taken)
        self._counters.refused["unknown_channel"] += unknown

    def _hand_to_owner(
        self,
        datagram: bytes,
        source: Address,
        local: Address,
        waiting: dict[DtlsOwner, RecordBuffers],
        channels: ChannelBuffers,
    ) -> None:
        """Hand over STUN, or DTLS that is no application record; before it what came earlier."""
        if datagram[0] in _CHANNEL_DATA:
            channels.append((datagram, len(datagram), source))
            return
        _hand_over(waiting)
        self._hand_to_channels(channels, local)
        if datagram[0] in _STUN:
            if (stun := self._stun_owner(datagram)) is not None:
                stun.stun_received(datagram, source, local)
        elif (owner := self._dtls_owner(source)) is not None:
            owner.dtls_received(datagram)
        else:
            self._counters.refused["unknown_remote"] += 1

    def _dtls_owner(self, source: Address) -> DtlsOwner | None:
        return self._remotes.get(source) or self._expected.get(source)

    def _stun_owner(self, message: bytes) -> StunOwner | None:
        """The owner of a STUN message; None once it is counted that there is none."""
        seen = peek(message)
        if seen is None:
            owner, name = None, "malformed_stun"
        elif seen.is_response:
            prefix = seen.transaction[:PREFIX_BYTES]
            owner, name = self._transactions.get(prefix), "unknown_stun_transaction"
        else:
            owner, name = self._ufrags.get(seen.ufrag, self._server), "unknown_ufrag"
        if owner is None:
            self._counters.refused[name] += 1
        return owner

    def _unknown_first_byte(self, _datagram: bytes, _source: Address) -> None:
        self._counters.refused["unknown_first_byte"] += 1


def _are_channel_data(first_bytes: bytes) -> bool:
    return min(first_bytes) in _CHANNEL_DATA and max(first_bytes) in _CHANNEL_DATA


def _hand_over(waiting: dict[DtlsOwner, RecordBuffers]) -> None:
    """Each buffer is handed over once, even if its owner raises."""
    for owner in tuple(waiting):
        owner.records_received(waiting.pop(owner))


def _register(table: dict[_Key, _Owner], key: _Key, owner: _Owner, most: int) -> None:
    if table.get(key, owner) is not owner:
        raise AlreadyOwned(f"{key!r} belongs to another part of this node")
    if len(table) >= most and key not in table:
        raise Overloaded(f"no room beside {most} of them")
    table[key] = owner


def _release(table: dict[_Key, _Owner], owner: object) -> None:
    for key in [key for key, value in table.items() if value is owner]:
        del table[key]
