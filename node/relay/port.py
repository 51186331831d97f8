"""An allocation at a relay, as a port of this node: what is sent by it goes through the relay."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from node.counters import Counters
from node.net.udp.port import Port
from node.streams.port import StreamPort
from protocol.addresses import Address
from protocol.errors import NotPermitted
from protocol.turn.channel_data import Gathered

OutgoingData = Callable[[bytes, int, Address], Iterable[Gathered]]
"""A buffer of datagrams to a peer, and the size of each, as it goes to the relay."""


class RelayUsers(Protocol):
    """What an allocation does for those who use it; see `RelayLeg`."""

    @property
    def is_silent(self) -> bool:
        """Whether the relay leaves requests unanswered."""

    def permit(self, peer: Address) -> None:
        """Let a peer in; `forbid` is due for each."""

    def forbid(self, peer: Address) -> None:
        """The end of one `permit`."""

    def ask_relay(self) -> None:
        """Find out whether the relay still answers."""


class RelayPort:
    """A `Port` whose address `local` is the relayed one; peers are named by their relayed address.

    `relay` is where the allocation is, as seen from `base`, the port that carries it. Only peers
    that were permitted are sent to, and heard.
    """

    def __init__(
        self,
        local: Address,
        relay: Address,
        base: Port,
        counters: Counters,
        *,
        outgoing: OutgoingData,
        users: RelayUsers,
    ) -> None:
        self.local = local
        self.relay = relay
        self.permit, self.forbid = users.permit, users.forbid
        self.ask_relay = users.ask_relay
        self._users = users
        self._base = base
        self._counters = counters
        self._outgoing = outgoing
        self._is_closed = False
        self._when_closed: dict[Callable[[RelayPort], None], None] = {}

    @property
    def is_silent(self) -> bool:
        """Whether the relay leaves requests unanswered, or the allocation is lost."""
        return self._is_closed or self._users.is_silent

    @property
    def goes_by_stream(self) -> bool:
        """Whether the relay is reached by a TLS stream at present."""
        return isinstance(self._base, StreamPort)

    @property
    def full(self) -> bool:
        """Whether datagrams already wait for the kernel."""
        return self._base.full

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Send one datagram."""
        self.send_segments(data, len(data), addr)

    def send_segments(self, buffer: bytes, size: int, addr: Any) -> None:
        """Send a buffer as datagrams of `size` bytes each, the last of what is left."""
        if self._is_closed:
            return
        try:
            for parts, outer in self._outgoing(buffer, size, addr):
                self._base.send_gathered(parts, outer, self.relay)
        except NotPermitted as error:
            self._counters.refuse(error)

    def send_gathered(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> None:
        """The same for a buffer that stands in parts."""
        self.send_segments(b"".join(parts), size, addr)

    def send_whole(self, data: bytes, addr: Any) -> bool:
        """Send one datagram that no router before the relay may fragment."""
        if self._is_closed:
            return False
        try:
            sent = [
                self._base.send_whole(b"".join(parts), self.relay)
                for parts, _ in self._outgoing(data, len(data), addr)
            ]
        except NotPermitted as error:
            self._counters.refuse(error)
            return False
        return all(sent)

    def send_with_ttl(self, data: bytes, addr: Any, ttl: int) -> None:
        """Nothing is sent: a relay forwards no time to live."""

    def go_by(self, base: Port) -> None:
        """The allocation was made again: from now on this port carries it."""
        self._base = base

    def call_when_closed(self, call: Callable[["RelayPort"], None]) -> None:
        """Tell of the end of the allocation, whichever it is."""
        self._when_closed[call] = None

    def call_no_more(self, call: Callable[["RelayPort"], None]) -> None:
        """The end of `call_when_closed`."""
        self._when_closed.pop(call, None)

    def close(self) -> None:
        """Send nothing any more."""
        self._is_closed = True
        told, self._when_closed = self._when_closed, {}
        for call in told:
            call(self)

    def is_closing(self) -> bool:
        """Whether the allocation is released or lost; one whose base closes is made again."""
        return self._is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname` is the relayed address; there is no socket."""
        return tuple(self.local) if name == "sockname" else default
