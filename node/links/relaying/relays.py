"""What all attempts of a node share for relaying: which relays an offer names, and their client.

Both sides allocate at the relays that the offer names, and at one that the answer does. Two of the
callee's registrars come first, as both sides have a path to them already. But ids near a callee's
are ground cheaply, so the third is a contact that the caller draws by chance from the other half
of all ids; and once a relay did not carry a link with this peer, all are. The caller knows but a
few of the callee's registrars, and in a small network draws others of them: so the callee, which
knows all, draws one as well that is none.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from node.links.relaying.doubts import DIRECT, RelayDoubts
from node.relay.port import RelayPort
from node.tasks import TaskOwner
from protocol import limits
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.places.tenure import network_of

_FIRST_BIT = 0x80
"""Ids that differ from a peer's in it are the half that is far from the peer's registrars."""


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
        self.doubts = RelayDoubts()

    def to_name(
        self, peer_id: PeerId, registrars: Iterable[Contact], beside: Contact | None = None
    ) -> tuple[Contact, ...]:
        """At most RELAYS_NAMED relays for a link with this peer, whose registrars are given.

        Those that we reach ourselves come before all others, and last those by which links with
        this peer came to nothing lately, the latest at the end. To be kept `beside` a relay come
        those of other networks first.
        """
        now = asyncio.get_running_loop().time()

        def doubted_at(relay: Contact) -> float:
            return self.doubts.noted_at(relay.peer_id, peer_id, now)

        taken = {peer_id, self._own_id, *([] if beside is None else [beside.peer_id])}
        named: dict[PeerId, Contact] = {}
        for contact in self._by_choice(peer_id, list(registrars), doubted_at):
            if contact.peer_id not in taken:
                named.setdefault(contact.peer_id, contact)
        reached = {relay.peer_id for relay in self._reached(named.values())}

        def preference(relay: Contact) -> tuple[float, bool, bool]:
            is_unreached = relay.peer_id not in reached
            return doubted_at(relay), is_unreached, share_network(relay, beside)

        best = sorted(named.values(), key=preference)
        return tuple(best[: limits.RELAYS_NAMED])

    def to_answer(
        self, peer_id: PeerId, offered: Iterable[Contact], in_use: Contact | None = None
    ) -> tuple[Contact, ...]:
        """At most RELAYS_ANSWERED relays, for a peer whose offer names others: contacts drawn by
        chance that are no registrars of ours, from ids far from ours as far as there are any.

        A link that restarts may be about to leave the relay `in_use`, or keep another beside it.
        """
        used = [] if in_use is None else [in_use]
        taken = {peer_id, *(one.peer_id for one in (*used, *offered, *self._registrars()))}

        def preference(relay: Contact) -> tuple[bool, bool, bool]:
            is_near = (relay.peer_id[0] ^ self._own_id[0]) < _FIRST_BIT
            return self.is_doubted(relay, peer_id), is_near, share_network(relay, in_use)

        drawn = [one for one in self._contacts() if one.peer_id not in taken]
        best = sorted(self._reached(drawn), key=preference)
        return tuple(best[: limits.RELAYS_ANSWERED])

    def doubt_direct(self, peer_id: PeerId) -> None:
        """The direct path to this peer carried checks, and not what a link needs."""
        self.doubts.note(DIRECT, peer_id, asyncio.get_running_loop().time())

    def avoid_direct(self, peer_id: PeerId) -> bool:
        """Whether a link with this peer is to go by relays alone, as there are contacts that may
        be relays.
        """
        now = asyncio.get_running_loop().time()
        return self.doubts.noted_at(DIRECT, peer_id, now) > 0 and self.known > 0

    def is_doubted(self, relay: Contact, peer_id: PeerId) -> bool:
        """Whether a link with this peer by this relay came to nothing lately."""
        now = asyncio.get_running_loop().time()
        return self.doubts.noted_at(relay.peer_id, peer_id, now) > 0

    def _by_choice(
        self, peer_id: PeerId, theirs: list[Contact], doubted_at: Callable[[Contact], float]
    ) -> Iterable[Contact]:
        """A peer's registrars and contacts of ours, in the order in which they are to be named.

        Of contacts those come last that keep this node registered: ids near ours are cheap as well.
        """
        keep_us = list(self._registrars())
        registrars = *theirs, *keep_us
        ids = {peer_id, *(relay.peer_id for relay in registrars)}
        ours = [one for one in self._contacts() if one.peer_id not in ids]
        ours.sort(key=lambda one: (one.peer_id[0] ^ peer_id[0]) < _FIRST_BIT)
        if any(map(doubted_at, (*registrars, *ours))):
            return *ours, *registrars
        sure = limits.RELAYS_SURE
        rest = *theirs[sure:], *keep_us, *ours[1:]
        return *theirs[:sure], *ours[:1], *rest

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

        An address that has not proved itself to us may be a victim's: where fewer than RELAYS_SURE
        have, one such is asked, with one datagram. If we hide our address, none, as it may be the
        peer's own.
        """
        reached = [one for one in self._reached(relays) if one.peer_id != peer_id]
        known = [one for one in reached if self.knows(one)]
        if self.hidden or len(known) >= limits.RELAYS_SURE:
            return known
        return [*known, *[one for one in reached if one not in known][:1]]

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


def share_network(one: Contact, other: Contact | None) -> bool:
    """Whether two relays stand in one public network, where one fault may end both."""
    network = network_of(one.address.host)
    return other is not None and network != b"" and network == network_of(other.address.host)
