"""The two ends of a relayed flow on loopback, by plain sockets."""

import random
import socket
import time
from collections.abc import Callable

from node.net.udp import offload
from protocol.addresses import Address
from protocol.turn.client import TurnClient
from protocol.turn.events import Allocated
from protocol.turn.grant import RelayGrant

SIZE = 1200
BURST = 43
WINDOW_BYTES = 2**20
_BUFFER_BYTES = 4 * 2**20
_WAIT_S = 0.2


class End:
    """A socket; with a grant, the client of an allocation at `relay` as well."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(_WAIT_S)
        offload.ask_to_join(self.socket)
        self.address = Address(*self.socket.getsockname())
        self.turn: TurnClient | None = None

    def allocate(self, relay: Address, grant: RelayGrant, family: int) -> Address:
        """The relayed address."""
        self.turn = TurnClient(
            grant,
            transaction_prefix=b"end0",
            rng=random.SystemRandom(),
            now=time.monotonic(),
            family=family,
        )
        self.relay = relay
        for event in self._settled():
            if isinstance(event, Allocated):
                return event.relayed
        raise RuntimeError("the relay gave no allocation")

    def permit(self, peer: Address) -> None:
        """Bind a channel to a peer."""
        assert self.turn is not None
        self.turn.permit(peer, time.monotonic())
        self._settled()

    def _settled(self) -> list[object]:
        assert self.turn is not None
        found: list[object] = []
        while datagrams := self.turn.take_datagrams():
            for datagram in datagrams:
                self.socket.sendto(datagram, self.relay)
                self.turn.receive(self.socket.recv(2048), time.monotonic())
            found += self.turn.take_events()
        return found

    def outer(self, burst: bytes, peer: Address) -> tuple[bytes, int, Address]:
        """A burst as it leaves, the size of its datagrams, and where it goes."""
        if self.turn is None:
            return burst, SIZE, peer
        ((parts, size),) = self.turn.outgoing(burst, SIZE, peer)
        return b"".join(parts), size, self.relay

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def flow(sender: End, receiver: End, peer: Address, total: int, *, joined: bool) -> float:
    """Send so many bytes and wait for them; the MB/s that arrived.

    A window keeps all buffers from overflowing; what is lost all the same is not sent again.
    """
    outer, size, remote = sender.outer(bytes(SIZE) * BURST, peer)
    send = _joined_sender(sender, outer, size, remote) if joined else None
    datagrams = [outer[at : at + size] for at in range(0, len(outer), size)]
    started = last = time.monotonic()
    sent = arrived = 0
    while sent < total or arrived < sent:
        if sent < total and sent - arrived < WINDOW_BYTES:
            if send is not None:
                send()
            else:
                for datagram in datagrams:
                    sender.socket.sendto(datagram, remote)
            sent += len(outer)
            if sent - arrived < WINDOW_BYTES:
                continue
        try:
            arrived += len(receiver.socket.recv(65_536))
            last = time.monotonic()
        except TimeoutError:
            sent -= sent - arrived  # lost
            if sent + len(outer) >= total:
                break
    return arrived / (last - started) / 1e6


def _joined_sender(sender: End, outer: bytes, size: int, remote: Address) -> Callable[[], object]:
    control = offload.cut_at(size)
    return lambda: sender.socket.sendmsg([outer], control, 0, remote)
