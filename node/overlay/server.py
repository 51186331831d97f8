"""One node of the DHT: joining, lookups, reading and publishing records.

A `kademlia.network.Server` whose lookups have no rounds, whose values are signed records, and
whose tasks all have an owner.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

from kademlia.network import Server

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.overlay.lookup.search import OnFound, Search
from node.overlay.lookup.sybil_region import SybilRegions
from node.overlay.reachability.clock_upkeep import ClockUpkeep
from node.overlay.reachability.dialing import Dialing
from node.overlay.reachability.own_clock import OwnClock
from node.overlay.reachability.own_network import OwnNetwork
from node.overlay.records.adapters import OverlayNode, RecordStorage
from node.overlay.records.publishing import Published, RecordPublisher
from node.overlay.records.reading import Reader, Reading
from node.overlay.rpc.introductions import Introductions
from node.overlay.rpc.protocol import GrantRelaying, OverlayProtocol
from node.overlay.rpc.wire import Wire
from node.overlay.settings import OverlaySettings
from node.overlay.signaling.registrar import AnswerOffer, Registrar
from node.overlay.table.leaving import Leaving
from node.overlay.table.meetings import Meetings
from node.overlay.table.refresh import TableRefresh
from node.overlay.table.table_maintenance import TableMaintenance
from node.overlay.table.tables import FAMILY_BITS, Tables
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.errors import ModswarmError, Unreachable
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.disjoint import start_lookup
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.messages import Found
from protocol.overlay.networks import smallest_network
from protocol.overlay.routing import ID_BITS
from protocol.overlay.store.record_store import RecordStore
from protocol.randomness import sample
from protocol.records import Record

_log = logging.getLogger(__name__)

_STORE_SECRET_BYTES = 16


class OverlayServer(Server):
    """One node of the overlay. Make it inside a running loop; `listen`, then `bootstrap`.

    `answer_offer` answers the sealed offers that reach this node, `grant_relaying` gives
    credentials to peers that want to allocate here; `own_network` knows whether others reach it
    unasked, `own_clock` what the time is. The wall clock of `environment` is that one, corrected.
    """

    def __init__(
        self,
        identity: Identity,
        environment: Environment,
        endpoint: Endpoint,
        *,
        settings: OverlaySettings,
        tasks: TaskOwner,
        counters: Counters,
        answer_offer: AnswerOffer,
        own_network: OwnNetwork,
        own_clock: OwnClock,
        grant_relaying: GrantRelaying,
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.tasks = tasks
        self.counters = counters
        self.store = RecordStore(
            secret=environment.rng.randbytes(_STORE_SECRET_BYTES),
            own_number=int.from_bytes(identity.peer_id),
            radius=self._radius,
        )
        super().__init__(
            ksize=settings.k,
            alpha=settings.lookup.alpha,
            node_id=identity.peer_id,
            storage=RecordStorage(self.store, own_clock, identity.peer_id),
        )
        self.node = OverlayNode(identity.peer_id, identity.public_key)
        self.tables = Tables(identity.peer_id, k=settings.k, networks_of=settings.networks_of)
        self.wire = Wire(
            identity, environment, counters, endpoint, settings, own_network, own_clock
        )
        self.registrar = Registrar(
            identity.peer_id, self.wire, self.tables, tasks, answer_offer=answer_offer
        )
        self._environment, self._endpoint = environment, endpoint
        self._own_network = own_network
        self.own_clock = own_clock
        self._grant_relaying = grant_relaying
        self._families = 0
        self._addresses: frozenset[Address] = frozenset()
        self._addresses_until = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self.protocol: OverlayProtocol = self._create_protocol()
        self._refresh = TableRefresh(
            self.protocol, self.tables, environment, self.lookup, lambda: self._families
        )
        self.sybil_regions = SybilRegions(
            self.lookup,
            environment,
            some_contacts=self.some_contacts,
            neighbours=self._neighbours,
            k=settings.k,
        )
        self.clock_upkeep = ClockUpkeep(
            self.wire, own_clock, self.some_contacts, networks_of=settings.networks_of
        )
        self._reader = self._make_reader()
        self._publishing = RecordPublisher(
            self.protocol,
            self.storage,
            tasks,
            lookup=self.lookup,
            sybil_regions=self.sybil_regions,
            own_number=int.from_bytes(identity.peer_id),
            k=settings.k,
            is_contact=lambda: own_network.is_contact,
        )

    def _make_reader(self) -> Reader:
        return Reader(
            self.protocol,
            self.store,
            self._environment,
            lookup=partial(self.lookup, paths=self.settings.paths),
            some_contacts=self.some_contacts,
            is_only_contact=self.is_only_contact,
            sybil_regions=self.sybil_regions,
            own_clock=self.own_clock,
            networks_of=self.settings.networks_of,
            puzzle_bits=self.settings.puzzle_bits,
        )

    def _create_maintenance(self) -> TableMaintenance:
        maintenance = TableMaintenance(
            self.wire, self.tables, self.counters, puzzle_bits=self.settings.puzzle_bits
        )
        self.leaving = Leaving(self.wire, maintenance)
        self.leaving.watch(self.registrar.left)
        return maintenance

    def _create_protocol(self) -> OverlayProtocol:
        maintenance = self._create_maintenance()
        protocol = OverlayProtocol(
            self.node,
            self.storage,
            self.ksize,
            wire=self.wire,
            tables=self.tables,
            maintenance=maintenance,
            leaving=self.leaving,
            registrar=self.registrar,
            dialing=Dialing(
                self.wire,
                self._endpoint,
                self.tables,
                self._environment.rng,
                self.tasks,
                networks_of=self.settings.networks_of,
            ),
            environment=self._environment,
            counters=self.counters,
            puzzle_bits=self.settings.puzzle_bits,
            grant_relaying=self._grant_relaying,
            own_clock=self.own_clock,
        )
        # What a request means depends on the tables and the registrar, which send by the wire:
        # the wire knows of neither, and is told here where requests go.
        self.wire.serve(protocol.accept)
        return protocol

    # Start and stop -----------------------------------------------------------------------

    def listen(self) -> None:
        """Answer from now on, on the endpoint, which is open, and keep the tables fresh."""
        self.wire.listen()
        self._own_network.listen(self._endpoint.addresses)
        for family in self._endpoint.addresses:
            self._families |= FAMILY_BITS[family]
        self._refreshing = self.tasks.start(self._refresh.run(), name="keep the tables fresh")

    def speaks(self, family: int) -> bool:
        """Whether there is a socket of this address family (4 or 6)."""
        return bool(self._families & FAMILY_BITS[family])

    def is_only_contact(self) -> bool:
        """Whether this node knows no contact, and peers behind NATs have joined through it.

        What they publish stands here, and they are called as registered here.
        """
        return not len(self.tables) and bool(self.registrar.registered())

    def untranslated(self, address: Address) -> Address:
        """The IPv4 address that stands for one which a NAT64 translates; any other as it is."""
        return self._endpoint.untranslated(address)

    async def leave(self, registrars: Iterable[Contact]) -> None:
        """Tell contacts, registrars and those registered here that this node ends; LEAVE_S."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        contacts = [entry.contact for entry in self.tables.entries()]
        await self.leaving.tell((*registrars, *self.registrar.registered(), *contacts))

    def stop(self) -> None:
        """Forget what is pending. The tasks belong to the owner that was given."""
        self.protocol.maintenance.close()
        self.wire.close()

    async def bootstrap(self, addrs: Iterable[Contact]) -> int:
        """Join through contacts that may be alive; returns how many contacts are known now.

        Raises Unreachable if none of them answers.
        """
        await self._refresh.join(list(addrs))
        if not len(self.tables):
            raise Unreachable("no contact answers")
        await self.clock_upkeep.ask()
        return len(self.tables)

    def meetings(self) -> Meetings:
        """To ping contacts by which this node may join; then `join_by`."""
        return Meetings(self.protocol.maintenance)

    async def join_by(self, meetings: Meetings) -> None:
        """Join through those that have answered; raises Unreachable if none has."""
        if not meetings.answered and not len(self.tables):
            raise Unreachable("no contact answers")
        await self._refresh.fill()
        await self.clock_upkeep.ask()

    async def _refresh_table(self) -> None:
        """Look up a random id in every bucket without a lookup for REFRESH_S (Kademlia, 2.3)."""
        await self._refresh.refresh()

    def bootstrappable_neighbors(self) -> list[Contact]:
        """The contacts worth saving for the next start: those known for longest, all over the ids.

        Contacts that send most requests do not come first.
        """
        entries = islice(self.tables.longest_known(), limits.CONTACTS_SAVED)
        return [entry.contact for entry in entries]

    def contact_addresses(self) -> frozenset[Address]:
        """The addresses of all contacts, as of CONTACT_ADDRESSES_S ago at most."""
        now = asyncio.get_running_loop().time()
        if now >= self._addresses_until:
            entries = (*self.tables.entries(),)
            self._addresses = frozenset(entry.contact.address for entry in entries)
            self._addresses_until = now + limits.CONTACT_ADDRESSES_S
        return self._addresses

    def some_contacts(self) -> list[Contact]:
        """Contacts drawn by chance, so that none comes first by what it sends."""
        known = [entry.contact for entry in self.tables.entries() if not entry.failures]
        return sample(self._environment.rng, known, limits.CONTACTS_SAVED)

    async def _neighbours(self, contact: Contact) -> list[Contact]:
        """Those nearest to a contact, as it names them; none if it does not answer."""
        try:
            found = await self.protocol.call_find_node(contact, contact.peer_id, self._families)
        except ModswarmError:
            return []
        return self.protocol.maintenance.valid(found.contacts)

    def recheck_contacts(self) -> None:
        """Ping the contacts known for longest: this machine slept, or has another address."""
        for contact in self.bootstrappable_neighbors()[: limits.CHECKED_AT_ONCE]:
            self.protocol.maintenance.verify(contact)

    def _radius(self) -> int:
        """The distance up to which this node is to keep records: of its k-th nearest contact.

        Contacts that come near on purpose make it no smaller than the network's size says.
        """
        own_number = int.from_bytes(self.identity.peer_id)
        nearest = self.tables.nearest(own_number, self.settings.k)
        if len(nearest) < self.settings.k:
            return (1 << ID_BITS) - 1
        return max(nearest[-1].number ^ own_number, self.sybil_regions.size.radius(own_number))

    # Lookups ------------------------------------------------------------------------------

    async def lookup(
        self,
        target: bytes,
        *,
        kind: int | None = None,
        on_found: Callable[[AnyLookup, Contact, Found], None] | None = None,
        paths: int = 1,
        seeds: Iterable[Contact] | None = None,
    ) -> AnyLookup:
        """Find the contacts nearest to `target` (20 bytes), asking for records on the way.

        It begins with `seeds`, or the nearest contacts of ours. With several disjoint lookup
        `paths` an adversary must be on every one (S/Kademlia, 4.4).
        """
        number = int.from_bytes(target)
        rules = self.settings.lookup.on_line(self.wire.line.extra_s)
        now = asyncio.get_running_loop().time()
        if seeds is None:
            seeds = self.tables.nearest(number, limits.LOOKUP_SEEDS, self._families)
        lookup = start_lookup(
            target,
            seeds,
            own_id=self.identity.peer_id,
            now=now,
            timeout_s=self._patience_s,
            rules=rules if kind is None else rules.for_reading(),
            network_of=partial(smallest_network, self.settings.networks_of),
            paths=paths,
        )
        hook: OnFound | None = partial(on_found, lookup) if on_found is not None else None
        for table in self.tables:
            table.looked_up(number, now)
        search = Search(
            self.protocol,
            lookup,
            families=self._families,
            repeat_s=rules.slow_s,
            introductions=Introductions(self.wire, self.tables),
            kind=kind,
            on_found=hook,
        )
        await search.run()
        if hook is None:  # such a lookup ran to its end
            self.sybil_regions.size.note(number, lookup.closest())
        return lookup

    def _patience_s(self, contact: Contact) -> float:
        """How long a lookup waits for a contact: hardly longer than its usual round trip, if its
        last request was in vain.
        """
        limit_s, usual_s = self.wire.timeout_s(contact), self.wire.round_trip_s(contact.number)
        if usual_s is None or not self.protocol.maintenance.is_doubted(contact):
            return limit_s
        return min(limit_s, limits.DOUBTED_ROUND_TRIPS * usual_s + limits.DOUBTED_S)

    async def read(
        self, key: bytes, kind: int, *, enough: Callable[[Reading], bool] | None = None
    ) -> Reading:
        """Read records from the contacts nearest to `key`, ending early once `enough` says so.

        The records that this node stores itself count too. Where nothing is found the reading is
        empty. The lookup goes over as many disjoint lookup paths as the settings say.
        """
        return await self._reader.read(key, kind, enough=enough)

    async def read_more(self, reading: Reading, key: bytes, kind: int) -> bool:
        """Add about READ_RECORDS further records of its key to a reading; whether any came."""
        return await self._reader.read_more(reading, key, kind)

    async def read_at(self, contacts: Sequence[Contact], key: bytes, kind: int) -> Reading:
        """Read records from these contacts alone, and from this node's own store."""
        return await self._reader.read_at(contacts, key, kind)

    # Publishing ---------------------------------------------------------------------------

    async def publish(self, record: Record) -> Published:
        """Store a record of ours at the k contacts nearest to its key; see `RecordPublisher`."""
        return await self._publishing.publish(record)

    async def store_at(
        self, record: Record, contacts: Sequence[Contact], closest: Sequence[Contact]
    ) -> Published:
        """Store a record at those of the nearest contacts that were found to lack it, and here."""
        return await self._publishing.store_at(record, contacts, closest)
