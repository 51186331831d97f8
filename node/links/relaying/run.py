"""The relays of one attempt, beside its ICE: allocations, and the pairs that they make."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from node.links.relaying.relays import Allocator, LinkRelays, share_network
from node.relay.port import RelayPort
from protocol import limits
from protocol.addresses import Address
from protocol.causes.failed_checks import side_of
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

_LINGERS_S = 2.0
_FOLLOWS_S = 2.0
"""So long an allocation stays after another pair is selected: what is on its way through the relay
still arrives, and the peer may learn of the selection later. The controlled side waits for longer,
until the check that tells which second relay the other keeps has come."""

_AT_ONCE = frozenset({PunchKind.SEQUENTIAL, PunchKind.RANDOM})
"""A caller behind such a router does not wait for the answer."""


class _Held(NamedTuple):
    """An allocation of one attempt: whose client gave it, and the peer's address there."""

    client: Allocator
    peer: Address


class RelayRun:
    """One attempt's. `flush` sends what the agent has to send. `settled` is called once of all the
    allocations those are left that an open link keeps.
    """

    def __init__(
        self,
        relays: LinkRelays,
        peer_id: PeerId,
        agent: IceAgent,
        flush: Callable[[], None],
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._relays = relays
        self._peer_id = peer_id
        self._agent = agent
        self._flush = flush
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._runs: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ports: dict[RelayPort, _Held] = {}
        self._relays_used: dict[Address, Contact] = {}
        self._stall: asyncio.TimerHandle | None = None
        self._kept: Address | None = None
        self._is_over = False
        self._failures = 0
        self._asked: set[PeerId] = set()
        self._of_peer: Sequence[Contact] = ()
        self._refused: set[Contact] = set()

    def offered(self, offer: Description) -> None:
        """Our offer is made: allocate at its relays, if one will be needed whatever the peer is."""
        if not offer.candidates or punch_kind(offer.nat.kind) in _AT_ONCE:
            self._begin(self._relays.named_by_us(offer.relays), 0.0)

    def begin(self, offer: Description, own: Description, peer: Description) -> None:
        """Allocate at the relays of offer and answer, soon if the two sides will need one."""
        ours = self._relays.named_by_us(own.relays)
        theirs = self._relays.named_by(self._peer_id, self._to_ask(offer, peer))
        ids = {relay.peer_id for relay in ours}
        self._of_peer = [relay for relay in theirs if relay.peer_id not in ids]
        self._begin([*ours, *self._of_peer], _AFTER_S[_way(own, peer)])

    def _to_ask(self, offer: Description, peer: Description) -> list[Contact]:
        """The relays of a peer that count: all of an offer, which leaves out those that it doubts,
        and of an answer those that we do not.
        """
        if peer is offer:
            return list(peer.relays)
        answered = peer.relays[: limits.RELAYS_ANSWERED]
        return [one for one in answered if not self._relays.is_doubted(one, self._peer_id)]

    def agent_started(self) -> None:
        """Count, before all checks, what the relays of the peer's choice may cost."""
        self._refused = {relay for relay in self._of_peer if not self._may_ask(relay)}

    def begin_again(self) -> None:
        """ICE restarts: `offered` and `begin` once more. The allocations stay as they are."""
        self._runs = [run for run in self._runs if not run.done()]
        self._asked.clear()
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._timer = self._stall = None
        self._is_over = False

    def _begin(self, relays: Sequence[Contact], after_s: float) -> None:
        client = self._relays.client
        relays = [relay for relay in relays if relay.peer_id not in self._asked]
        if not self._is_over and relays and client is not None:
            self._asked.update(relay.peer_id for relay in relays)
            name = f"allocate for {self._peer_id.hex()[:8]}"
            run = self._relays.tasks.start(self._run(client, relays, after_s), name=name)
            self._runs.append(run)

    @property
    def failed(self) -> bool:
        """Whether relays were asked, and none gave an allocation that lets the peer in."""
        return bool(self._failures) and not self._ports

    @property
    def under_way(self) -> bool:
        """Whether candidates may still come of it."""
        return any(not run.done() for run in self._runs)

    async def _run(self, client: Allocator, relays: Sequence[Contact], after_s: float) -> None:
        self._name_held()
        await asyncio.sleep(after_s)
        asked = [relay for relay in relays if relay not in self._refused]
        await asyncio.gather(*(self._allocate(client, relay) for relay in asked))
        if all(run.done() for run in self._runs if run is not asyncio.current_task()):
            self._agent.end_of_candidates()
        self._flush()

    def _may_ask(self, relay: Contact) -> bool:
        """Whether a relay that the peer names is one, or may cost what a victim may get."""
        size, now = limits.FIRST_REQUEST_BYTES, self._loop.time()
        return self._relays.knows(relay) or self._agent.take_besides(relay.address, size, now)

    def _name_held(self) -> None:
        """After a restart the peer has to be reached by the allocations from before as well."""
        for held in self._ports.values():
            self._agent.add_remote(CandidateKind.RELAYED, held.peer, self._loop.time())

    async def _allocate(self, client: Allocator, relay: Contact) -> None:
        if relay.peer_id in [self._relays_used[port.local].peer_id for port in self._ports]:
            return
        try:
            ours = relay not in self._of_peer or self._relays.is_registrar(relay)
            port = await client.allocate(relay, ours=ours)
        except ModswarmError as error:
            _log.info("no allocation: %s", error)
            self._failures += 1
            return
        peer = relayed_address(relay.peer_id, self._peer_id)
        try:
            port.permit(peer)
        except ModswarmError as error:
            _log.info("no allocation for this peer: %s", error)
            self._failures += 1
            client.release(port)
            return
        port.call_when_closed(self._lost)
        self._ports[port] = _Held(client, peer)
        self._relays_used[port.local] = relay
        now = self._loop.time()
        self._agent.add_local(CandidateKind.RELAYED, port.local, port.local, now, peer=peer)
        self._agent.add_remote(CandidateKind.RELAYED, peer, now)
        self._flush()

    # The pair in use --------------------------------------------------------------------------

    def relay_at(self, base: Address | None) -> Contact | None:
        """The relay behind a relayed address that we have or had."""
        return None if base is None else self._relays_used.get(base)

    def watch(self, base: Address, round_trip_s: float | None = None) -> None:
        """The pair of this relayed address is to carry the link. If none opens over it soon, though
        checks pass, the relay is left for the next: it may drop whatever is no check.

        Only the controlling side leaves it; the other follows its nomination.
        """
        self._kept = base
        if self._stall is not None:
            self._stall.cancel()
        if self._agent.controlling and not self._is_over:
            trips_s = limits.RELAY_STALL_ROUND_TRIPS * (round_trip_s or 0.0)
            wait_s = max(limits.RELAY_STALL_S, trips_s)
            self._stall = self._loop.call_later(wait_s, self.leave, base)

    def leave(self, base: Address) -> bool:
        """Give up the relay at this base for another; False if there is none, or will be none.

        Either way later offers to this peer name it last.
        """
        port = self.doubt(base)
        if port is None or not (len(self._ports) > 1 or self.under_way):
            return False
        _log.info("no link comes of the relay at %s: trying another", port.relay)
        self._give_up(port)
        self._flush()
        return True

    def drop(self, base: Address) -> None:
        """An open link leaves the relay at this base, before ICE restarts with other relays.

        One that it left before goes as well, or the peer would choose that again.
        """
        self.doubt(base)
        for port in list(self._ports):
            if self._relays.is_doubted(self._relays_used[port.local], self._peer_id):
                _log.info("the relay at %s carries checks and no data: it is left", port.relay)
                self._give_up(port)
        self._flush()

    def doubt(self, base: Address) -> RelayPort | None:
        """Remember of the relay at this base that it carried no link; its port, if we have one."""
        if (relay := self._relays_used.get(base)) is not None:
            self._relays.doubts.note(relay.peer_id, self._peer_id, self._loop.time())
        return next((port for port in self._ports if port.local == base), None)

    # The end ----------------------------------------------------------------------------------

    def end(self, kept: Address | None) -> None:
        """Ask no more relays. Of the allocations that of the selected pair is kept for long, and a
        second one that works: by it the link goes on if the relay of the first is gone. So what has
        been asked for is not given up before, unless the selected pair is a direct one.
        """
        self._is_over = True
        if self.relay_at(kept) is None:
            self._ask_no_more()
        if self._stall is not None:
            self._stall.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._kept = kept
        wait_s = _LINGERS_S if self._agent.controlling else _LINGERS_S + _FOLLOWS_S
        self._timer = self._loop.call_later(wait_s, self._drop_others)

    def _ask_no_more(self) -> None:
        for run in self._runs:
            run.cancel()

    def _drop_others(self) -> None:
        self._ask_no_more()
        others = [one for one in self._ports if one.local != self._kept]
        if len(others) < len(self._ports):  # a relay carries the link, and may cease to
            second = self._second([one.local for one in others])
            others = [one for one in others if one.local != second]
        for port in others:
            self._give_up(port)
        self._flush()
        self._settled()

    def _second(self, bases: list[Address]) -> Address | None:
        """The base to keep beside that in use; of those that work rather one of another network.

        The controlling side chooses, and the other one keeps the same.
        """
        now, in_use = self._loop.time(), self.relay_at(self._kept)
        apart = [one for one in bases if not share_network(self._relays_used[one], in_use)]
        if self._agent.controlling and (second := self._agent.second_base(apart, now)) is not None:
            return second
        return self._agent.second_base(bases, now)

    def _give_up(self, port: RelayPort) -> None:
        held = self._remove(port)
        port.forbid(held.peer)
        held.client.release(port)

    def _lost(self, port: RelayPort) -> None:
        """An allocation has ended that we did not give up: what goes by it is gone at once."""
        _log.info("the allocation at %s has ended", port.relay)
        self._remove(port)
        self._flush()

    def _remove(self, port: RelayPort) -> _Held:
        port.call_no_more(self._lost)
        self._agent.remove_local(port.local, self._loop.time())
        return self._ports.pop(port)

    async def close(self) -> None:
        """Give up every allocation, that which carried the link included."""
        self.end(None)
        if self._timer is not None:
            self._timer.cancel()
        for port in list(self._ports):
            self._give_up(port)
        if self._runs:
            await asyncio.wait(self._runs)


def _way(own: Description, peer: Description) -> Way:
    """How the two sides will link; without a common family only through a relay."""
    families = set(side_of(own).families) & set(side_of(peer).families)
    return expected_way(own.nat.kind, peer.nat.kind) if families else Way.RELAY
