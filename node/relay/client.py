"""The allocations of this node at relays: one for each relay, shared by all links that use it."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.relay.leg import AskGrant, RelayLeg
from node.relay.port import RelayPort
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.errors import RelayFailed, UnexpectedReply
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.places.tenure import Place, PlaceRule, network_of
from protocol.turn.client import TurnClient
from protocol.turn.grant import RelayGrant
from protocol.turn.virtual import relayed_address

_PREFIX_BYTES = 4

_RULE = PlaceRule(
    limits.RELAYS_USED,
    for_newcomers=limits.RELAYS_USED // 4,
    for_own=limits.RELAYS_USED // 2,
    per_network=2,
)
"""An offer names three relays of its peer, which are worth 0; most of our own choice suffice."""

Legs = dict[Address, RelayLeg]
"""Allocations of ours by the address of their relay, once it has proved that it is there."""


class RelayClient:
    """Allocates at contacts. `legs` is shared with what tells our relays from our clients.

    `ask` asks a contact for credentials; `serves` tells whether an address has an allocation at us.
    `reach` makes a way to a contact before it is asked, and raises ModswarmError if there is none.
    """

    def __init__(
        self,
        own_id: PeerId,
        environment: Environment,
        endpoint: Endpoint,
        tasks: TaskOwner,
        counters: Counters,
        legs: Legs,
        *,
        ask: AskGrant,
        serves: Callable[[Address], bool],
        reach: Callable[[Contact], Awaitable[None]],
    ) -> None:
        self._own_id = own_id
        self._rng = environment.rng
        self._endpoint = endpoint
        self._tasks = tasks
        self._counters = counters
        self._legs = legs
        self._all: dict[tuple[PeerId, Address], RelayLeg] = {}
        self._held: dict[tuple[PeerId, Address], Place] = {}
        self._ask = ask
        self._serves = serves
        self._reach = reach
        self._loop = asyncio.get_running_loop()
        self._prefix = environment.rng.randbytes(_PREFIX_BYTES)

    def listen(self) -> None:
        """Take the responses to our requests from now on; raises AlreadyOwned."""
        self._endpoint.demux.register_transactions(self._prefix, self)

    async def allocate(self, relay: Contact, *, ours: bool = True) -> RelayPort:
        """An allocation at a relay, as a port whose address is `relayed_address` of both ids.

        `release` is due for each. `ours`: the relay is of our choice; what peers choose takes no
        place of these, and after LINK_TENURE_S gives its own to another. Raises RelayFailed, Busy.
        """
        key = relay.peer_id, relay.address
        leg = self._all.get(key)
        if leg is None:
            place = self._place(relay, ours=ours)
            now = self._loop.time()
            yielding = _RULE.giving_way([known for _, known in self._places()], place, now)
            if relay.address.family not in self._endpoint.addresses:
                raise RelayFailed(f"{relay.address}: this node has no address of its family")
            self._check_place(relay)
            if yielding is not None:
                self._all[next(known for known, held in self._places() if held is yielding)].close()
            leg = self._all[key] = self._new_leg(relay)
            self._held[key] = place
        elif ours and not self._held[key].ours:
            self._held[key] = self._place(relay, ours=True)
        return await leg.join()

    def _places(self) -> list[tuple[tuple[PeerId, Address], Place]]:
        return [(key, self._held[key]) for key in self._all]

    def _place(self, relay: Contact, *, ours: bool) -> Place:
        until = inf if ours else self._loop.time() + limits.LINK_TENURE_S
        network = network_of(relay.address.host)
        return Place(relay.peer_id, network, float(ours), safe_until=until, due_at=until, ours=ours)

    def _check_place(self, relay: Contact) -> None:
        address = relay.address
        if self._serves(address):
            raise RelayFailed(f"{address}: that peer has an allocation at this node")
        leg = self._legs.get(address)
        if leg is not None and leg.relay.peer_id != relay.peer_id:
            raise RelayFailed(f"{address}: another relay is used there")

    def _proved(self, leg: RelayLeg) -> None:
        """A relay has given credentials: the address is its own. Raises RelayFailed.

        Until then the peer that named it may have named any key.
        """
        self._check_place(leg.relay)
        self._legs[leg.relay.address] = leg

    def release(self, port: RelayPort) -> None:
        """The end of one use of a port; without any the allocation is released."""
        leg = self._legs.get(port.relay)
        if leg is not None and not port.is_closing():
            leg.leave()

    def way_ended(self, relay: Address) -> None:
        """The stream to a relay has ended: its allocation is made again by another way."""
        leg = self._legs.get(relay)
        if leg is not None:
            leg.make_again("the stream to the relay has ended")

    def __len__(self) -> int:
        """At how many relays this node has an allocation, or asks for one."""
        return len(self._all)

    def close(self) -> None:
        """Release every allocation."""
        for leg in list(self._all.values()):
            leg.close()

    def _new_leg(self, relay: Contact) -> RelayLeg:
        return RelayLeg(
            relay,
            relayed_address(relay.peer_id, self._own_id),
            endpoint=self._endpoint,
            ask=self._ask_reached,
            make_client=self._make_client,
            tasks=self._tasks,
            counters=self._counters,
            on_proved=self._proved,
            on_end=self._ended,
        )

    async def _ask_reached(self, relay: Contact) -> RelayGrant:
        await self._reach(relay)
        return await self._ask(relay)

    def _make_client(self, grant: RelayGrant, wait_s: float) -> TurnClient:
        return TurnClient(
            grant,
            transaction_prefix=self._prefix,
            rng=self._rng,
            now=self._loop.time(),
            wait_s=wait_s,
        )

    def _ended(self, leg: RelayLeg) -> None:
        address = leg.relay.address
        self._all.pop((leg.relay.peer_id, address), None)
        self._held.pop((leg.relay.peer_id, address), None)
        if self._legs.get(address) is leg:
            del self._legs[address]

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Take a response to a request of ours; raises RemoteError."""
        leg = self._legs.get(source)
        if leg is None:
            raise UnexpectedReply(f"a response of {source}, which is no relay of ours ({local})")
        leg.stun_received(message)
