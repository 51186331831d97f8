"""What all attempts of a node share for relaying: which relays an offer names, and their client.

Both sides allocate at the relays that the offer names. The callee's registrars come first, as both
sides have a path to them already; then the caller's, then contacts that answered lately.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from node.relay.port import RelayPort
from node.tasks import TaskOwner
from protocol import limits
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact


class Allocator(Protocol):
    """The client of relays; see `RelayClient`."""

    async def allocate(self, relay: Contact) -> RelayPort:
        """An allocation, for which `release` is due; raises RelayFailed, Overloaded."""

    def release(self, port: RelayPort) -> None:
        """The end of one use of an allocation."""


class LinkRelays:
    """`client` may be None where a node uses no relays. `registrars`: the contacts that keep this
    node registered. `contacts`: others that answered
    lately, the last first. `families`: those of our sockets.
    """

    def __init__(
        self,
        client: Allocator | None,
        own_id: PeerId,
        registrars: Callable[[], Iterable[Contact]] = tuple,
        contacts: Callable[[], Iterable[Contact]] = tuple,
        families: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        self.client = client
        self.tasks = TaskOwner("relaying")
        self._own_id = own_id
        self._registrars = registrars
        self._contacts = contacts
        self._families = families

    def to_name(self, peer_id: PeerId, registrars: Iterable[Contact]) -> tuple[Contact, ...]:
        """At most RELAYS_NAMED relays for a link with this peer, whose registrars are given."""
        named: dict[PeerId, Contact] = {}
        for contact in (*registrars, *self._registrars(), *self._contacts()):
            if contact.peer_id not in (peer_id, self._own_id):
                named.setdefault(contact.peer_id, contact)
            if len(named) == limits.RELAYS_NAMED:
                break
        return tuple(named.values())

    def at_hand(self, relays: Sequence[Contact]) -> list[Contact]:
        """These relays at addresses of our families, as far as we know one of each.

        A relay that stands in both families links a peer of one with a peer of the other.
        """
        ours = frozenset(self._families())
        known = {
            contact.peer_id: contact
            for contact in (*self._contacts(), *self._registrars())
            if contact.address.family in ours
        }
        found = [
            relay if relay.address.family in ours else known.get(relay.peer_id) for relay in relays
        ]
        return [relay for relay in found if relay is not None and relay.peer_id != self._own_id]

    async def close(self) -> None:
        """End what allocates."""
        await self.tasks.close()
