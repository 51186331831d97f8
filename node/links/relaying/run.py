"""The relays of one attempt, beside its ICE: allocations, and the pairs that they make."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from node.links.relaying.relays import Allocator, LinkRelays
from node.relay.port import RelayPort
from protocol.addresses import Address
from protocol.description import Description
from protocol.errors import ModswarmError
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.punching.pairs import PunchKind, Way, expected_way, punch_kind
from protocol.turn.virtual import relayed_address

_log = logging.getLogger(__name__)

_AFTER_S = {
    Way.OPEN: 1.0,
    Way.PUNCH: 0.5,
    Way.PREDICTION: 0.0,
    Way.BIRTHDAY: 0.0,
    Way.RELAY: 0.0,
}
"""How long an attempt waits before it asks the favour of a relay: where a direct path nearly always
opens it has opened by then."""

_AT_ONCE = frozenset({PunchKind.SEQUENTIAL, PunchKind.RANDOM})
"""A caller behind such a router does not wait for the answer."""


class RelayRun:
    """One attempt's. `flush` sends what the agent has to send."""

    def __init__(
        self, relays: LinkRelays, peer_id: PeerId, agent: IceAgent, flush: Callable[[], None]
    ) -> None:
        self._relays = relays
        self._peer_id = peer_id
        self._agent = agent
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._ports: dict[RelayPort, Allocator] = {}
        self._is_over = False
        self._failures = 0

    def offered(self, offer: Description) -> None:
        """Our offer is made: allocate at its relays, if one will be needed whatever the peer is."""
        if not offer.candidates or punch_kind(offer.nat.kind) in _AT_ONCE:
            self._begin(offer.relays, 0.0)

    def begin(self, relays: Sequence[Contact], own: Description, peer: Description) -> None:
        """Allocate at the relays of the offer, soon if the two sides will need one."""
        hidden = not own.candidates or not peer.candidates
        way = Way.RELAY if hidden else expected_way(own.nat.kind, peer.nat.kind)
        self._begin(relays, _AFTER_S[way])

    def _begin(self, relays: Sequence[Contact], after_s: float) -> None:
        if self._task is not None or self._is_over:
            return
        found, client = self._relays.at_hand(relays), self._relays.client
        if found and client is not None:
            name = f"allocate for {self._peer_id.hex()[:8]}"
            allocating = self._run(client, found, after_s)
            self._task = self._relays.tasks.start(allocating, name=name)

    @property
    def failed(self) -> bool:
        """Whether relays were asked, and none gave an allocation that lets the peer in."""
        return bool(self._failures) and not self._ports

    @property
    def under_way(self) -> bool:
        """Whether candidates may still come of it."""
        return self._task is not None and not self._task.done()

    async def _run(self, client: Allocator, relays: Sequence[Contact], after_s: float) -> None:
        await asyncio.sleep(after_s)
        await asyncio.gather(*(self._allocate(client, relay) for relay in relays))
        self._agent.end_of_candidates()
        self._flush()

    async def _allocate(self, client: Allocator, relay: Contact) -> None:
        try:
            port = await client.allocate(relay)
        except ModswarmError as error:
            _log.info("no allocation: %s", error)
            self._failures += 1
            return
        self._ports[port] = client
        now = self._loop.time()
        peer = relayed_address(relay.peer_id, self._peer_id)
        try:
            port.permit(peer)
        except ModswarmError as error:
            _log.info("no allocation for this peer: %s", error)
            self._failures += 1
            return
        self._agent.add_local(CandidateKind.RELAYED, port.local, port.local, now, peer=peer)
        self._agent.add_remote(CandidateKind.RELAYED, peer, now)
        self._flush()

    def end(self, kept: Address | None) -> None:
        """Allocate no more; of the allocations only that of the selected pair is kept."""
        self._is_over = True
        if self._task is not None:
            self._task.cancel()
        for port in [one for one in self._ports if one.local != kept]:
            self._agent.remove_local(port.local, self._loop.time())
            self._ports.pop(port).release(port)

    async def close(self) -> None:
        """Give up every allocation, that which carried the link included."""
        self.end(None)
        if self._task is not None:
            await asyncio.wait([self._task])
