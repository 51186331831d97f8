"""Reading records: from the contacts nearest to their key, and from farther ones where it pays.

Where a contact holds more records than fit a datagram, its further pages are read. Where nothing is
found, a second lookup begins with contacts drawn by chance: ids that were ground near a key name
only one another, and a lookup that begins with them ends there. Where the nearest contacts are
sybils (see `SybilRegions`), the contacts of the region around are asked too.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from node.environment import Environment
from node.overlay.lookup.sybil_region import SybilRegions
from node.overlay.reachability.own_clock import OwnClock
from node.overlay.rpc.protocol import OverlayProtocol
from node.overlay.table.tables import NO_FAMILY
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.errors import (
    ClocksDiffer,
    Expired,
    IssuedInFuture,
    ModswarmError,
    NetworkError,
    RemoteError,
    Unreachable,
)
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.messages import Found
from protocol.overlay.networks import NetworksOf, voice_of
from protocol.overlay.registration_proof import check_registration_proof
from protocol.overlay.store.record_store import RecordStore
from protocol.randomness import sample
from protocol.reachability.clock_signs import ClockVerdict
from protocol.records import Record

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class FoundRecord:
    """A valid record, and the contacts that told it."""

    record: Record
    contacts: list[Contact] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """What a read found: the newest valid record of each publisher, by its public key.

    `registrars` have proved that the peer whose id is the key is registered with them. `hops`
    is the distance of the first record, in contacts asked one after another. `told` says in how
    many contacts' first pages a publisher was. `named` are contacts nearest to the key that
    those asked by `read_at` name, not verified. `more` has the contacts that say to hold more
    records than they sent: how many they sent, and how many they hold. `found` are all valid
    records by their bytes, also those that a newer one has overtaken; `own_sent` is how many
    this node's own store has given. `untimely` has the networks (see `voice_of`) that keep as
    valid what is not so by our clock, and `nearest` those of the nearest contacts;
    `from_future` counts what each contact sent that is in the future. `is_clock_off`: whether
    contacts find our clock off, and it is not corrected. `is_all_here`: whether no other node can
    hold any, as all others joined through this one from behind NATs.
    """

    records: dict[bytes, Record] = field(default_factory=dict)
    told: Counter[bytes] = field(default_factory=Counter)
    found: dict[bytes, FoundRecord] = field(default_factory=dict)
    own_sent: int = 0
    answered: list[Contact] = field(default_factory=list)
    registrars: list[Contact] = field(default_factory=list)
    holders: list[Contact] = field(default_factory=list)
    closest: list[Contact] = field(default_factory=list)
    named: list[Contact] = field(default_factory=list)
    more: dict[Contact, tuple[int, int]] = field(default_factory=dict)
    hops: int = 0
    requests: int = 0
    untimely: set[bytes] = field(default_factory=set)
    nearest: set[bytes] = field(default_factory=set)
    from_future: Counter[Contact] = field(default_factory=Counter)
    is_clock_off: bool = False
    is_all_here: bool = False

    def why_empty(self) -> NetworkError | None:
        """What kept records from being found, where it is known that something did.

        That the clocks differ is said by most networks of the nearest contacts, which all keep a
        record that there is: no contact makes it so, unless it is the only one. Where our own clock
        is off, one that keeps what we may not read is enough.
        """
        if self.is_all_here:
            return None
        if not self.answered:
            return Unreachable(cause=Cause.NO_CONTACTS)
        untimely = self.untimely & self.nearest
        if 2 * len(untimely) > len(self.nearest) or (self.untimely and self.is_clock_off):
            return ClocksDiffer(cause=Cause.CLOCKS_DIFFER)
        return None

    def check_answered(self) -> None:
        """Raise Unreachable if no other node answered, ClocksDiffer if that hid all records."""
        why = self.why_empty()
        if why is not None and not (self.answered and self.records):
            raise why


Enough = Callable[[Reading], bool]


class Reader:
    """Reads for one node. `lookup`, `some_contacts` and `is_only_contact` are those of
    `OverlayServer`.
    """

    def __init__(
        self,
        protocol: OverlayProtocol,
        store: RecordStore,
        environment: Environment,
        *,
        lookup: Callable[..., Awaitable[AnyLookup]],
        some_contacts: Callable[[], list[Contact]],
        is_only_contact: Callable[[], bool],
        sybil_regions: SybilRegions,
        own_clock: OwnClock,
        networks_of: NetworksOf,
        puzzle_bits: int,
    ) -> None:
        self._own_clock = own_clock
        self._networks_of = networks_of
        self._protocol = protocol
        self._store = store
        self._wall = environment.wall
        self._rng = environment.rng
        self._lookup = lookup
        self._some_contacts = some_contacts
        self._is_only_contact = is_only_contact
        self._sybil_regions = sybil_regions
        self._puzzle_bits = puzzle_bits

    async def read(self, key: bytes, kind: int, *, enough: Enough | None = None) -> Reading:
        """Read records from the contacts nearest to `key`, ending early once `enough` says so.

        The records that this node stores itself count too. Where nothing is found the reading is
        empty.
        """
        reading = Reading()
        self._take_own(reading, key, kind)
        for step in (self._read_nearest, self._read_aside, self._read_beyond):
            if enough is not None and enough(reading):
                break
            await step(reading, key, kind, enough or _never)
        clock = self._own_clock.view()
        reading.is_clock_off = clock.verdict is not ClockVerdict.NO_SIGN and not clock.corrected
        reading.is_all_here = not reading.answered and self._is_only_contact()
        return reading

    async def read_at(self, contacts: Sequence[Contact], key: bytes, kind: int) -> Reading:
        """Read from these contacts alone, and note which others they name."""
        reading = Reading()
        self._take_own(reading, key, kind)
        await self._ask_each(contacts, reading, key, kind, _never)
        return reading

    async def _read_nearest(
        self,
        reading: Reading,
        key: bytes,
        kind: int,
        enough: Enough,
        seeds: Sequence[Contact] | None = None,
    ) -> None:
        def on_found(lookup: AnyLookup, contact: Contact, found: Found) -> None:
            if self._hear(reading, key, contact, found):
                reading.hops = reading.hops or lookup.hops_to(contact)
            if enough(reading):
                lookup.stop()

        lookup = await self._lookup(key, kind=kind, on_found=on_found, seeds=seeds)
        reading.closest = lookup.closest() or reading.closest
        reading.nearest = {voice_of(self._networks_of, one) for one in reading.closest}
        reading.requests += lookup.requests

    async def _read_aside(self, reading: Reading, key: bytes, kind: int, enough: Enough) -> None:
        """Look again from contacts drawn by chance, where the nearest hold nothing."""
        if reading.records or reading.registrars:
            return
        answered = {contact.peer_id for contact in reading.answered}
        others = [one for one in self._some_contacts() if one.peer_id not in answered]
        if others:
            seeds = others[: limits.READ_ASIDE]
            await self._read_nearest(reading, key, kind, enough, seeds)

    async def _read_beyond(self, reading: Reading, key: bytes, kind: int, enough: Enough) -> None:
        """Ask the contacts of the region around, where the nearest are sybils."""
        beyond = await self._sybil_regions.beyond(key, reading.closest)
        await self._ask_each(beyond, reading, key, kind, enough)
        reading.requests += len(beyond)

    async def _ask_each(
        self,
        contacts: Sequence[Contact],
        reading: Reading,
        key: bytes,
        kind: int,
        enough: Enough,
    ) -> None:
        async def ask(contact: Contact) -> None:
            try:
                found = await self._protocol.call_find_value(contact, key, kind)
            except ModswarmError as error:
                _log.debug("nothing read from %r: %s", contact, error)
                return
            reading.named += found.contacts
            self._hear(reading, key, contact, found)
            enough(reading)

        await asyncio.gather(*map(ask, contacts))

    async def read_more(self, reading: Reading, key: bytes, kind: int) -> bool:
        """Add further pages to a reading, about READ_RECORDS records; whether any came.

        Each time they are asked of some contacts drawn by chance: so those that claim to hold much
        are not asked before others, nor more.
        """

        async def turn(contact: Contact) -> None:
            sent, total = reading.more.pop(contact)
            try:
                found = await self._protocol.call_find_value(contact, key, kind, sent, NO_FAMILY)
            except ModswarmError as error:
                _log.debug("no further page from %r: %s", contact, error)
                return
            for raw in found.values:
                self._take_raw(reading, contact, raw, key)
            sent += len(found.values)
            if found.values and sent < total:
                reading.more[contact] = (sent, total)

        before, in_vain = len(reading.records), 0
        while (
            len(reading.records) < before + limits.READ_RECORDS and in_vain < limits.TURNS_IN_VAIN
        ):
            known = len(reading.records)
            drawn = sample(self._rng, list(reading.more), limits.READERS_PAGED)
            await asyncio.gather(*map(turn, drawn))
            if not self._take_own(reading, key, kind) and not drawn:
                break
            in_vain = in_vain + 1 if len(reading.records) == known else 0
        return len(reading.records) > before

    def _take_own(self, reading: Reading, key: bytes, kind: int) -> bool:
        """Take one more page of this node's own store; whether there was any."""
        now = self._wall()
        held = self._store.get(key, kind, self._own_clock.earliest())
        page = held[reading.own_sent : reading.own_sent + limits.VALUES_PER_REPLY]
        for record in page:
            if record.expires > now:
                _take(reading, record)
        reading.own_sent += len(page)
        return bool(page)

    def _hear(self, reading: Reading, key: bytes, contact: Contact, found: Found) -> bool:
        """Take the response of one contact; whether it held a valid record."""
        reading.answered.append(contact)
        proof = found.registration_proof
        is_registrar = bool(proof) and self._is_registered(reading, key, contact, proof)
        if is_registrar:
            reading.registrars.append(contact)
        values = [self._take_raw(reading, contact, raw, key) for raw in found.values]
        taken = {publisher for publisher in values if publisher is not None}
        reading.told.update(taken)
        self._own_clock.read(
            contact,
            key,
            timely=len(values) - values.count(None) + is_registrar,
            from_future=reading.from_future[contact],
        )
        if taken:
            reading.holders.append(contact)
        if len(found.values) < found.total:
            reading.more[contact] = (len(found.values), found.total)
        return bool(taken)

    def _is_registered(
        self, reading: Reading, peer_id: bytes, contact: Contact, proof: bytes
    ) -> bool:
        try:
            check_registration_proof(
                proof, peer_id=peer_id, registrar_id=contact.peer_id, now=self._wall()
            )
        except RemoteError as error:
            self._refuse(reading, contact, error)
            return False
        return True

    def _take_raw(self, reading: Reading, contact: Contact, raw: bytes, key: bytes) -> bytes | None:
        """The publisher of a record, which counts from now on; None if it is not valid."""
        if (known := reading.found.get(raw)) is not None:
            known.contacts.append(contact)
            return known.record.public_key
        try:
            record = records.read(raw, key=key, now=self._wall(), puzzle_bits=self._puzzle_bits)
        except RemoteError as error:
            self._refuse(reading, contact, error)
            return None
        _take(reading, record)
        reading.found[raw].contacts.append(contact)
        return record.public_key

    def _refuse(self, reading: Reading, contact: Contact, error: RemoteError) -> None:
        self._protocol.refuse(error)
        if isinstance(error, Expired | IssuedInFuture):
            reading.untimely.add(voice_of(self._networks_of, contact))
        reading.from_future[contact] += isinstance(error, IssuedInFuture)


def _take(reading: Reading, record: Record) -> None:
    reading.found.setdefault(record.raw, FoundRecord(record))
    held = reading.records.get(record.public_key)
    if held is None or held.sequence < record.sequence:
        reading.records[record.public_key] = record


def _never(_reading: Reading) -> bool:
    return False
