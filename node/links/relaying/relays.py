"""What all attempts of a node share for relaying: which relays an offer names, and their client.

Both sides allocate at the relays that the offer names. The callee's registrars come first, as both
sides have a path to them already; then the caller's, then contacts drawn by chance.
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

    async def allocate(self, relay: Contact, *, ours: bool = True) -> RelayPort:
        """An allocation, for which `release` is due; raises RelayFailed, Busy."""

    def release(self, port: RelayPort) -> None:
        """The end of one use of an allocation."""


class LinkRelays:
    """`client` may be None where a node uses no relays. `registrars`: the contacts that keep this
    node registered. `contacts`: others, drawn by chance. `families`: those of
    our sockets. `knows`: whether a contact has proved itself to us. `hidden`: contacts that do not
    know our address yet must not learn it.
    """

    def __init__(
        self,
        client: Allocator | None,
        own_id: PeerId,
        registrars: Callable[[], Iterable[Contact]] = tuple,
        contacts: Callable[[], Iterable[Contact]] = tuple,
        families: Callable[[], Iterable[int]] = tuple,
        knows: Callable[[Contact], bool] = bool,
        *,
        hidden: bool = False,
    ) -> None:
        self.client = client
        self.tasks = TaskOwner("relaying")
        self._own_id = own_id
        self._registrars = registrars
        self._contacts = contacts
        self._families = families
        self.knows = knows
        self.hidden = hidden

    def to_name(self, peer_id: PeerId, registrars: Iterable[Contact]) -> tuple[Contact, ...]:
        """At most RELAYS_NAMED relays for a link with this peer, whose registrars are given.

        Those that we reach ourselves come before all others.
        """
        named: dict[PeerId, Contact] = {}
        for contact in (*registrars, *self._registrars(), *self._contacts()):
            if contact.peer_id not in (peer_id, self._own_id):
                named.setdefault(contact.peer_id, contact)
        reached = {relay.peer_id for relay in self._reached(named.values())}
        best = sorted(named.values(), key=lambda relay: relay.peer_id not in reached)
        return tuple(best[: limits.RELAYS_NAMED])

    @property
    def known(self) -> int:
        """How many contacts that may be relays we reach; whether one is, only it can tell."""
        return len(self._reached((*self._registrars(), *self._contacts())))

    def is_registrar(self, relay: Contact) -> bool:
        """Whether it keeps this node registered: then it is our choice, even if peers name it."""
        return any(one.peer_id == relay.peer_id for one in self._registrars())

    def named_by_us(self, relays: Sequence[Contact]) -> list[Contact]:
        """Those of our own offer's relays that we reach, each at an address of our families."""
        return self._reached(relays)

    def named_by(self, peer_id: PeerId, relays: Sequence[Contact]) -> list[Contact]:
        """Those of a peer's offer that we reach and ask.

        An address that has not proved itself to us may be a victim's: where no relay has, one such
        is asked, with one datagram. If we hide our address, none, as it may be the peer's own.
        """
        reached = [one for one in self._reached(relays) if one.peer_id != peer_id]
        known = [one for one in reached if self.knows(one)]
        return known if known or self.hidden else reached[:1]

    def _reached(self, relays: Iterable[Contact]) -> list[Contact]:
        """These relays, each once, at addresses of our families, as far as we know one of each.

        A relay that stands in both families links a peer of one with a peer of the other.
        """
        ours = frozenset(self._families())
        known = {
            contact.peer_id: contact
            for contact in (*self._contacts(), *self._registrars())
            if contact.address.family in ours
        }
        found: dict[PeerId, Contact] = {}
        for relay in relays:
            one = relay if relay.address.family in ours else known.get(relay.peer_id)
            if one is not None and one.peer_id != self._own_id:
                found.setdefault(one.peer_id, one)
        return list(found.values())

    async def close(self) -> None:
        """End what allocates."""
        await self.tasks.close()
