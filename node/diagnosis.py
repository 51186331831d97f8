"""Looking into the DHT, to debug it: lookups, records and crawls as one node sees them."""

import asyncio
from collections.abc import Awaitable, Callable

from node.answers.dht import (
    AvailabilityBodyView,
    ContactView,
    CrawlView,
    LineageBodyView,
    LookupView,
    PeerBodyView,
    ProviderBodyView,
    RecordsView,
    RecordView,
)
from node.environment import Environment
from node.overlay.lookup.crawl import Crawl
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.content.lineage.body import LineageBody
from protocol.content.link import is_piece
from protocol.errors import BadInput, BadPeerId, Unreachable
from protocol.identity import is_cut_peer_id
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.messages import Found
from protocol.records import PeerBody, ProviderBody, Record
from protocol.texts.links import holds_link, link_in
from protocol.texts.peers import peer_id_in
from protocol.texts.wrappings import bare, plain

RECORD_KINDS = {
    "peer": records.PEER,
    "provider": records.PROVIDER,
    "availability": records.AVAILABILITY,
    "lineage": records.LINEAGE,
}
_KIND_NAMES = {number: name for name, number in RECORD_KINDS.items()}
_KEY_CHARS = 2 * limits.ID_BYTES


def parse_target(text: str) -> tuple[bytes, int]:
    """The DHT key that a text names, and the kind of record usual there; raises BadInput, BadLink.

    A peer id is a key; a mod's link leads to its providers; a key may stand as 40 hex digits.
    """
    if holds_link(text):
        return records.provider_key(link_in(text).mod_id), records.PROVIDER
    text = bare(plain(text))
    try:
        return records.peer_key(peer_id_in(text)), records.PEER
    except BadPeerId:
        if is_cut_peer_id(text):
            raise
    try:
        key = bytes.fromhex(text) if len(text) == _KEY_CHARS else b""
    except ValueError:
        key = b""
    if not key and is_piece(text):
        return records.provider_key(link_in(text).mod_id), records.PROVIDER
    if len(key) != limits.ID_BYTES:
        raise BadInput(
            f"neither a peer id, a link, nor a key of {_KEY_CHARS} hex digits: {text[:80]!r}"
        )
    return key, records.PROVIDER


def parse_kind(text: str) -> int:
    """A kind of record by its name; raises BadInput."""
    if text not in RECORD_KINDS:
        raise BadInput(
            f"no kind of record is called {text[:80]!r}; there are {', '.join(RECORD_KINDS)}"
        )
    return RECORD_KINDS[text]


CheckJoined = Callable[[], Awaitable[None]]


class Diagnosis:
    """What one node sees of the DHT.

    Each question raises Unreachable where no other node answers. `check_joined` waits for the
    node's first try to join, and raises Unreachable if it has not.
    """

    def __init__(
        self, server: OverlayServer, environment: Environment, check_joined: CheckJoined
    ) -> None:
        self._server = server
        self._environment = environment
        self._check_joined = check_joined

    async def lookup(self, target: str, paths: int = 1) -> LookupView:
        """The contacts nearest to a target, and which contacts led to each. Raises BadInput."""
        key, _ = parse_target(target)
        if not 1 <= paths <= limits.LOOKUP_PATHS_MAX:
            raise BadInput(
                f"a lookup has 1 to {limits.LOOKUP_PATHS_MAX} disjoint paths, not {paths}"
            )
        named_by: dict[bytes, Contact] = {}

        def on_found(_: AnyLookup, contact: Contact, found: Found) -> None:
            for named in found.contacts:
                named_by.setdefault(named.packed, contact)

        await self._check_joined()
        known = {entry.contact.packed for entry in self._server.tables.entries()}
        started = asyncio.get_running_loop().time()
        lookup = await self._server.lookup(key, on_found=on_found, paths=paths)
        if not lookup.closest():
            raise Unreachable(cause=Cause.NO_CONTACTS)
        return LookupView(
            target=key,
            seconds=_seconds_since(started),
            requests=lookup.requests,
            closest=tuple(
                self._contact(one, _named_through(one, named_by, known)) for one in lookup.closest()
            ),
        )

    async def records(self, target: str, kind: str | None = None) -> RecordsView:
        """The verified records under a target, and the contacts that hold them.

        Raises BadInput, ClocksDiffer.
        """
        key, usual = parse_target(target)
        number = parse_kind(kind) if kind is not None else usual
        await self._check_joined()
        started = asyncio.get_running_loop().time()
        reading = await self._server.read(key, number)
        await self._server.read_more(reading, key, number)
        reading.check_answered()
        found = sorted(reading.records.values(), key=lambda one: one.public_key)
        return RecordsView(
            key=key,
            kind=_KIND_NAMES[number],
            seconds=_seconds_since(started),
            requests=reading.requests,
            hops=reading.hops,
            holders=tuple(one.peer_id for one in reading.holders),
            registrars=tuple(one.peer_id for one in reading.registrars),
            records=tuple(map(_record, found)),
        )

    async def crawl(self, contacts: int = limits.CRAWL_CONTACTS) -> CrawlView:
        """The network as far as it can be walked from here, asking at most `contacts`."""
        await self._check_joined()
        started = asyncio.get_running_loop().time()
        seen = await Crawl(self._server, self._environment.rng, contacts).run()
        if not seen.answered:
            raise Unreachable(cause=Cause.NO_CONTACTS)
        rtts_ms = sorted(
            rtt_ms for one in seen.answered if (rtt_ms := self._rtt_ms(one)) is not None
        )
        return CrawlView(
            seconds=_seconds_since(started),
            named=seen.named,
            asked=seen.asked,
            answered=len(seen.answered),
            silent=len(seen.silent),
            whole=seen.is_whole,
            size_estimate=round(seen.size) if seen.size is not None else None,
            versions=dict(sorted(seen.versions.items())),
            families={
                family: sum(one.family == family for one in seen.answered) for family in (4, 6)
            },
            rtt_p50_ms=rtts_ms[len(rtts_ms) // 2] if rtts_ms else None,
        )

    def _rtt_ms(self, contact: Contact) -> float | None:
        rtt_s = self._server.wire.round_trip_s(contact.number)
        return rtt_s * 1000 if rtt_s else None

    def _contact(self, contact: Contact, path: list[Contact]) -> ContactView:
        return ContactView(
            peer_id=contact.peer_id,
            address=contact.address,
            rtt_ms=self._rtt_ms(contact),
            path=tuple(one.peer_id for one in path),
        )


def _seconds_since(started: float) -> float:
    return asyncio.get_running_loop().time() - started


def _named_through(
    contact: Contact, named_by: dict[bytes, Contact], known: set[bytes]
) -> list[Contact]:
    """The contacts that led to one, the first known beforehand; empty if it was known itself."""
    path: list[Contact] = []
    at = contact
    while at.packed not in known and at.packed in named_by and len(path) < limits.LOOKUP_REQUESTS:
        at = named_by[at.packed]
        path.append(at)
    return path[::-1]


def _record(record: Record) -> RecordView:
    return RecordView(
        publisher=record.peer_id,
        sequence=record.sequence,
        issued=record.issued,
        expires=record.expires,
        bytes=len(record.raw),
        body=_body(record.body),
    )


def _body(
    body: records.Body,
) -> PeerBodyView | ProviderBodyView | AvailabilityBodyView | LineageBodyView:
    if isinstance(body, PeerBody):
        return PeerBodyView(body.addresses, body.capabilities, body.versions, body.shard_bits)
    if isinstance(body, ProviderBody):
        return ProviderBodyView(body.mod_id, body.complete)
    if isinstance(body, LineageBody):
        return LineageBodyView(body.mod_id, body.version, body.previous, body.origins)
    return AvailabilityBodyView(body.shard_bits, body.shard, body.capacity)
