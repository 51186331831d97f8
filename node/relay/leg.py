"""One allocation of ours at a relay: made, kept alive, made again where it is lost, released.

The virtual relayed address follows from the relay and from us, so an allocation that is made again,
from another address of ours too, has the same one, and the links over it go on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from math import inf
from typing import Final

from node.counters import Counters
from node.net.endpoint import Endpoint
from node.relay.port import RelayPort
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.errors import ModswarmError, NotPermitted, RelayFailed
from protocol.overlay.contacts import Contact
from protocol.turn.channel_data import Gathered
from protocol.turn.client import TurnClient
from protocol.turn.client_peers import RelayedArrival
from protocol.turn.events import Allocated, AllocationLost, CredentialsAging
from protocol.turn.grant import RelayGrant

_log = logging.getLogger(__name__)

_AGAIN_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each attempt to make it again: in all as long as the links that go by it may wait."""

_STOOD_S: Final = 5.0
"""One that stood for so long is made again at once."""

AskGrant = Callable[[Contact], Awaitable[RelayGrant]]
"""Asks a contact for credentials; raises ModswarmError."""

MakeClient = Callable[[RelayGrant, float], TurnClient]
"""By a grant, and how long the first response may take in seconds."""


class RelayLeg:
    """The allocation at `relay`, for as many users as `join`; raises RelayFailed to all that wait.

    `relayed`: the virtual address that it must have. `on_proved` is called once the relay has given
    credentials, and may raise RelayFailed. `on_end` is called once, at the end.
    """

    def __init__(
        self,
        relay: Contact,
        relayed: Address,
        *,
        endpoint: Endpoint,
        ask: AskGrant,
        make_client: MakeClient,
        tasks: TaskOwner,
        counters: Counters,
        on_proved: Callable[["RelayLeg"], None],
        on_end: Callable[["RelayLeg"], None],
    ) -> None:
        self.relay = relay
        self._relayed = relayed
        self._endpoint = endpoint
        self._ask = ask
        self._make_client = make_client
        self._tasks = tasks
        self._counters = counters
        self._on_proved = on_proved
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._users = 0
        self._turn: TurnClient | None = None
        self._port: RelayPort | None = None
        self._peers: dict[Address, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_ended = False
        self._allocated_at = inf
        self._losses = 0
        self._ready: asyncio.Future[RelayPort] = self._loop.create_future()
        tasks.start(self._open(), name=f"allocate at {relay.address}")

    # Users ----------------------------------------------------------------------------------

    async def join(self) -> RelayPort:
        """The port of the allocation once it is made; raises RelayFailed. Then `leave` is due."""
        self._users += 1
        try:
            return await asyncio.shield(self._ready)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """One user fewer; without any the allocation is released."""
        self._users -= 1
        if self._users == 0:
            self.close()

    def close(self) -> None:
        """Release the allocation."""
        if self._turn is not None and not self._is_ended:
            self._turn.release(self._loop.time())
            self._drain(self._turn)
        self._end("the allocation was released")

    def permit(self, peer: Address) -> None:
        """Let a peer in, named by its relayed address; raises RelayFailed for too many."""
        if self._turn is not None:
            self._turn.permit(peer, self._loop.time())
            self._drain(self._turn)
        self._peers[peer] = self._peers.get(peer, 0) + 1

    def forbid(self, peer: Address) -> None:
        """The end of one `permit`; after the last the peer is let in no more."""
        uses = self._peers.pop(peer, 0) - 1
        if uses > 0:
            self._peers[peer] = uses
        elif self._turn is not None:
            self._turn.forget(peer)

    @property
    def is_silent(self) -> bool:
        """Whether the relay leaves requests unanswered."""
        return self._turn is None or self._turn.is_unanswered

    def ask_relay(self) -> None:
        """Find out whether the relay still answers: `is_silent` tells some seconds later."""
        if self._turn is not None:
            self._turn.ask_now(self._loop.time())
            self._drain(self._turn)

    def make_again(self, reason: str) -> None:
        """The way to the relay is another one: the allocation is made again by that."""
        if self._turn is not None:
            self._lost(reason)

    # The life of the allocation ---------------------------------------------------------------

    async def _open(self, pause_s: float = 0.0) -> None:
        await asyncio.sleep(pause_s)
        if self._is_ended:
            return
        asked_at = self._loop.time()
        try:
            grant = await self._ask(self.relay)
        except ModswarmError as error:
            self._end(f"the relay gives no credentials: {error}")
            return
        if not self._is_ended:
            try:
                self._on_proved(self)
            except RelayFailed as error:
                self._end(str(error))
                return
            round_trip_s = self._loop.time() - asked_at
            longest_s = max(limits.TIMEOUT_MAX_S, limits.RELAY_ANSWER_ROUND_TRIPS * round_trip_s)
            wait_s = min(max(2 * round_trip_s, limits.TIMEOUT_MIN_S), longest_s)
            self._begin(self._make_client(grant, wait_s))

    def _begin(self, turn: TurnClient) -> None:
        self._turn = turn
        for peer in self._peers:
            turn.permit(peer, self._loop.time())
        self._drain(turn)

    async def _renew(self, turn: TurnClient) -> None:
        try:
            grant = await self._ask(self.relay)
        except ModswarmError as error:
            _log.info("no fresh credentials from %s: %s", self.relay.address, error)
            return
        turn.renew(grant, self._loop.time())

    def _lost(self, reason: str) -> None:
        """Make the allocation again if it stood; else it is lost for good.

        At once, but after growing pauses where that is refused, or does not last: an earlier one of
        ours may be in its way for a while.
        """
        if self._loop.time() - self._allocated_at >= _STOOD_S:
            self._losses = 0
        self._turn, self._allocated_at = None, inf
        if self._port is None or self._is_ended or self._losses >= len(_AGAIN_S):
            self._end(reason)
            return
        pause_s = _AGAIN_S[self._losses]
        self._losses += 1
        _log.info("allocating again at %s: %s", self.relay.address, reason)
        self._tasks.start(self._open(pause_s), name=f"allocate again at {self.relay.address}")

    def _allocated(self, relayed: Address) -> None:
        base = self._endpoint.port_to(self.relay.address)
        self._allocated_at = self._loop.time()
        if relayed != self._relayed:
            self.close()
        elif base is None:
            self._end("the port to the relay is closed")
        elif self._port is not None:
            self._port.go_by(base)
        else:
            self._port = RelayPort(
                relayed,
                self.relay.address,
                base,
                self._counters,
                outgoing=self._outgoing,
                users=self,
            )
            self._endpoint.add_port(relayed, self._port)
            self._ready.set_result(self._port)

    def _end(self, reason: str) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._port is not None:
            self._port.close()
            self._endpoint.remove_port(self._relayed)
        if not self._ready.done():
            self._ready.set_exception(RelayFailed(f"{self.relay.address}: {reason}"))
            self._ready.exception()  # those that wait get it; if none does it is not lost
        self._on_end(self)

    # What goes and comes ----------------------------------------------------------------------

    def _outgoing(self, buffer: bytes, size: int, peer: Address) -> Iterator[Gathered]:
        if self._turn is None:
            raise NotPermitted("the allocation is being made again")
        return self._turn.outgoing(buffer, size, peer)

    def stun_received(self, message: bytes) -> None:
        """Take a response or a Data indication of the relay; raises RemoteError."""
        turn = self._turn
        if turn is not None:
            arrivals = turn.receive(message, self._loop.time())
            self._drain(turn)
            self.hand_over(arrivals)

    def channel_received(self, buffer: bytes, size: int) -> list[RelayedArrival]:
        """What ChannelData of the relay carries, for `hand_over`; raises RemoteError."""
        return [] if self._turn is None else self._turn.channel_received(buffer, size)

    def hand_over(self, arrivals: list[RelayedArrival]) -> None:
        """Give what peers sent to the links of this node, as if the port had received it."""
        if arrivals and self._port is not None:
            self._endpoint.demux.unwrapped(list(arrivals), self._relayed)

    def _drain(self, turn: TurnClient) -> None:
        """Send and do what the machine wants, and wake it in time."""
        for datagram in turn.take_datagrams():
            self._endpoint.beat.prompt()
            self._endpoint.sendto(datagram, self.relay.address)
        for event in turn.take_events():
            match event:
                case Allocated(relayed):
                    self._allocated(relayed)
                case AllocationLost(reason):
                    self._lost(reason)
                case CredentialsAging():
                    self._tasks.start(self._renew(turn), name="renew relay credentials")
                case _:
                    self._peers.pop(event.peer, None)
                    _log.info("%s forwards nothing to %s", self.relay.address, event.peer)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._turn is turn and not self._is_ended and turn.wake_at is not None:
            self._timer = self._loop.call_at(turn.wake_at, self._wake)

    def _wake(self) -> None:
        turn = self._turn
        if turn is not None:
            turn.wake(self._loop.time())
            self._drain(turn)
