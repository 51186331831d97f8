"""Looking into the DHT, for people who debug: lookups, records and crawls as JSON-ready values."""

import asyncio
import math
from typing import Any

from node.environment import Environment
from node.overlay.lookup.crawl import Crawl
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.availability import Availability
from protocol.content.link import parse as parse_link
from protocol.errors import BadInput, BadLink, BadPeerId
from protocol.identity import base32_text, parse_peer_id, peer_id_text
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.messages import Found
from protocol.records import PeerBody, ProviderBody, Record

KINDS = {"peer": records.PEER, "provider": records.PROVIDER, "availability": records.AVAILABILITY}
_KIND_NAMES = {number: name for name, number in KINDS.items()}
_KEY_CHARS = 2 * limits.ID_BYTES


def parse_target(text: str) -> tuple[bytes, int]:
    """The DHT key that a person means, and the kind of record usual there; raises BadInput.

    A peer id is a key; a mod's link leads to its providers; a key may stand as 40 hex digits.
    """
    try:
        return records.peer_key(parse_peer_id(text)), records.PEER
    except BadPeerId:
        pass
    try:
        return records.provider_key(parse_link(text).mod_id), records.PROVIDER
    except BadLink:
        pass
    try:
        key = bytes.fromhex(text) if len(text) == _KEY_CHARS else b""
    except ValueError:
        key = b""
    if len(key) != limits.ID_BYTES:
        raise BadInput(
            f"neither a peer id, a link, nor a key of {_KEY_CHARS} hex digits: {text[:80]!r}"
        )
    return key, records.PROVIDER


def parse_kind(text: str) -> int:
    """A kind of record by its name; raises BadInput."""
    if text not in KINDS:
        raise BadInput(f"no kind of record is called {text[:80]!r}; there are {', '.join(KINDS)}")
    return KINDS[text]


class Diagnosis:
    """What one node sees of the DHT."""

    def __init__(self, server: OverlayServer, environment: Environment) -> None:
        self._server = server
        self._environment = environment

    async def lookup(self, target: str, paths: int = 1) -> dict[str, Any]:
        """The contacts nearest to a target, and who named each. Raises BadInput."""
        key, _ = parse_target(target)
        if not 1 <= paths <= limits.PATHS_MAX:
            raise BadInput(f"a lookup has 1 to {limits.PATHS_MAX} paths, not {paths}")
        named_by: dict[bytes, Contact] = {}

        def on_found(_: AnyLookup, contact: Contact, found: Found) -> None:
            for named in found.contacts:
                named_by.setdefault(named.packed, contact)

        known = {entry.contact.packed for entry in self._server.tables.entries()}
        started = asyncio.get_running_loop().time()
        lookup = await self._server.lookup(key, on_found=on_found, paths=paths)
        return {
            "target": key.hex(),
            "seconds": self._since(started),
            "requests": lookup.requests,
            "closest": [
                self._contact(one, _path(one, named_by, known)) for one in lookup.closest()
            ],
        }

    async def records(self, target: str, kind: str | None = None) -> dict[str, Any]:
        """The verified records under a target, and who keeps them. Raises BadInput."""
        key, usual = parse_target(target)
        number = parse_kind(kind) if kind is not None else usual
        started = asyncio.get_running_loop().time()
        reading = await self._server.read(key, number)
        return {
            "key": key.hex(),
            "kind": _KIND_NAMES[number],
            "seconds": self._since(started),
            "requests": reading.requests,
            "hops": reading.hops,
            "holders": [peer_id_text(one.peer_id) for one in reading.holders],
            "registrars": [peer_id_text(one.peer_id) for one in reading.registrars],
            "records": [
                _record(one)
                for one in sorted(reading.records.values(), key=lambda one: one.public_key)
            ],
        }

    async def crawl(self, contacts: int = limits.CRAWL_CONTACTS) -> dict[str, Any]:
        """The network as far as it can be walked from here, within bounds."""
        started = asyncio.get_running_loop().time()
        seen = await Crawl(self._server, self._environment.rng, contacts).run()
        rtts_ms = sorted(
            rtt_ms for one in seen.answered if (rtt_ms := self._rtt_ms(one)) is not None
        )
        return {
            "seconds": self._since(started),
            "named": seen.named,
            "asked": seen.asked,
            "answered": len(seen.answered),
            "silent": len(seen.silent),
            "whole": seen.is_whole,
            "size_estimate": round(seen.size) if seen.size is not None else None,
            "versions": {str(number): count for number, count in sorted(seen.versions.items())},
            "families": {
                str(family): sum(one.family == family for one in seen.answered) for family in (4, 6)
            },
            "rtt_p50_ms": rtts_ms[math.floor(len(rtts_ms) / 2)] if rtts_ms else None,
        }

    def _since(self, started: float) -> float:
        return round(asyncio.get_running_loop().time() - started, 3)

    def _rtt_ms(self, contact: Contact) -> float | None:
        rtt_s = self._server.wire.round_trip_s(contact)
        return round(rtt_s * 1000, 1) if rtt_s else None

    def _contact(self, contact: Contact, path: list[Contact]) -> dict[str, Any]:
        return {
            "peer_id": peer_id_text(contact.peer_id),
            "address": str(contact.address),
            "rtt_ms": self._rtt_ms(contact),
            "path": [peer_id_text(one.peer_id) for one in path],
        }


def _path(contact: Contact, named_by: dict[bytes, Contact], known: set[bytes]) -> list[Contact]:
    """Those who named it, the first of whom was known here; empty if it was known itself."""
    path: list[Contact] = []
    at = contact
    while at.packed not in known and at.packed in named_by and len(path) < limits.LOOKUP_REQUESTS:
        at = named_by[at.packed]
        path.append(at)
    return path[::-1]


def _record(record: Record) -> dict[str, Any]:
    return {
        "publisher": peer_id_text(record.peer_id),
        "sequence": record.sequence,
        "issued": record.issued,
        "expires": record.expires,
        "bytes": len(record.raw),
        "body": _body(record.body),
    }


def _body(body: records.Body) -> dict[str, Any]:
    if isinstance(body, PeerBody):
        return {
            "addresses": [str(address) for address in body.addresses],
            "capabilities": body.capabilities,
            "versions": list(body.versions),
            "shard_bits": body.shard_bits,
        }
    if isinstance(body, ProviderBody):
        return {"mod_id": base32_text(body.mod_id), "complete": body.complete}
    assert isinstance(body, Availability)
    return {"shard_bits": body.shard_bits, "shard": body.shard, "capacity": body.capacity}
