"""The allocations of this node at relays: one for each relay, shared by all links that use it."""

import asyncio
from collections.abc import Callable

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.relay.leg import AskGrant, RelayLeg
from node.relay.port import RelayPort
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.errors import Overloaded, RelayFailed, UnexpectedReply
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.turn.client import TurnClient
from protocol.turn.grant import RelayGrant
from protocol.turn.virtual import relayed_address

_PREFIX_BYTES = 4

Legs = dict[Address, RelayLeg]
"""Allocations of ours by the address of their relay."""


class RelayClient:
    """Allocates at contacts. `legs` is shared with what tells our relays from our clients.

    `ask` asks a contact for credentials; `serves` tells whether an address has an allocation at us.
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
    ) -> None:
        self._own_id = own_id
        self._rng = environment.rng
        self._endpoint = endpoint
        self._tasks = tasks
        self._counters = counters
        self._legs = legs
        self._ask = ask
        self._serves = serves
        self._loop = asyncio.get_running_loop()
        self._prefix = environment.rng.randbytes(_PREFIX_BYTES)

    def listen(self) -> None:
        """Take the responses to our requests from now on; raises AlreadyOwned."""
        self._endpoint.demux.register_transactions(self._prefix, self)

    async def allocate(self, relay: Contact) -> RelayPort:
        """An allocation at a relay, as a port whose address is `relayed_address` of both ids.

        `release` is due for each. Raises RelayFailed, Overloaded.
        """
        address = relay.address
        leg = self._legs.get(address)
        if leg is None:
            if len(self._legs) >= limits.RELAYS_USED:
                raise Overloaded("allocations at as many relays as one node may have")
            if address.family not in self._endpoint.addresses:
                raise RelayFailed(f"{address}: this node has no address of its family")
            if self._serves(address):
                raise RelayFailed(f"{address}: that peer has an allocation at this node")
            leg = self._legs[address] = self._new_leg(relay)
        if leg.relay != relay:
            raise RelayFailed(f"{address}: another relay is used there")
        return await leg.join()

    def release(self, port: RelayPort) -> None:
        """The end of one use of a port; without any the allocation is released."""
        leg = self._legs.get(port.relay)
        if leg is not None and not port.is_closing():
            leg.leave()

    def __len__(self) -> int:
        """At how many relays this node has an allocation, or asks for one."""
        return len(self._legs)

    def close(self) -> None:
        """Release every allocation."""
        for leg in list(self._legs.values()):
            leg.close()

    def _new_leg(self, relay: Contact) -> RelayLeg:
        return RelayLeg(
            relay,
            relayed_address(relay.peer_id, self._own_id),
            endpoint=self._endpoint,
            ask=self._ask,
            make_client=self._make_client,
            tasks=self._tasks,
            counters=self._counters,
            on_end=self._ended,
        )

    def _make_client(self, grant: RelayGrant, wait_s: float) -> TurnClient:
        return TurnClient(
            grant,
            transaction_prefix=self._prefix,
            rng=self._rng,
            now=self._loop.time(),
            wait_s=wait_s,
        )

    def _ended(self, leg: RelayLeg) -> None:
        self._legs.pop(leg.relay.address, None)

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Take a response to a request of ours; raises RemoteError."""
        leg = self._legs.get(source)
        if leg is None:
            raise UnexpectedReply(f"a response of {source}, which is no relay of ours ({local})")
        leg.stun_received(message)
