"""One function for each verb of the control API: JSON in, a typed answer out, errors of one tree.

Nothing here knows HTTP. `ApiCall` carries what the request brought, already checked against the
route's schema; what only a parser can check (links, ids, file paths) is checked here.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.answers.dht import CrawlView, LookupView, RecordsView
from node.answers.mods import ModList, ModOffer, Removed, ShareResult
from node.answers.network import NetworkReport
from node.answers.peers import (
    LinkChangeList,
    LinkChangeView,
    LinkList,
    LinkView,
    PathView,
    PeerList,
    StageTimes,
)
from node.answers.status import NodeIdentity, NodeStatus, Stopping
from node.answers.vault import CacheChange, CacheView, Pinned, ScrubResult, VaultView
from node.content.progress import ReportProgress
from node.faces.api.errors import BadRequest
from node.faces.api.forms import ApiDocument
from node.faces.pages.offers import PageOffers
from node.links.link import Link
from node.links.path.found_path import MeasuredPath
from node.links.pool.changes import LinkChange
from node.links.stages import Stage
from node.runtime import Node
from protocol import limits
from protocol.causes.failed_checks import expected_of
from protocol.content.file_paths import quoted
from protocol.content.link import LineageLink, ModLink
from protocol.content.origins.urls import named_origin
from protocol.errors import NotFound
from protocol.identity import base32_bytes, base32_text
from protocol.texts.links import any_link_in, link_in
from protocol.texts.peers import peer_id_in
from protocol.texts.wrappings import bare, plain

_MOD_ID_BYTES, _MOD_ID_CHARS = 32, 52
_COUNT_CHARS = 3
_CHANGE_CHARS = 12

_CHANGES_S = 4.0
"""How long a client waits for a change: less than after which it doubts that the node lives."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request's body, query parameters and path parameters."""

    body: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service:
    """What handlers work on: the node, the API's own document, how to ask the node to end, and
    what answers web pages.
    """

    node: Node
    document: ApiDocument
    on_stop: Callable[[], None]
    pages: PageOffers


async def document(service: Service, call: ApiCall) -> ApiDocument:
    """The OpenAPI document of this node."""
    return service.document


async def status(service: Service, call: ApiCall) -> NodeStatus:
    """How the node is doing."""
    return service.node.status()


async def identity(service: Service, call: ApiCall) -> NodeIdentity:
    """The node's peer id, and the lines to give to friends."""
    node = service.node
    own = node.identity
    return NodeIdentity(own.peer_id, own.public_key, node.bootstrap_addresses())


async def mods(service: Service, call: ApiCall) -> ModList:
    """The mods in the vault."""
    return ModList(await service.node.sharing.mods())


async def peers(service: Service, call: ApiCall) -> PeerList:
    """The peers that the node knows, and whether they have a mod."""
    link = call.query.get("has")
    return PeerList(await service.node.sharing.peers(None if link is None else link_in(link)))


async def links(service: Service, call: ApiCall) -> LinkList:
    """The open links."""
    return LinkList(tuple(_view(service, link) for link in service.node.pool.links()))


async def link_changes(service: Service, call: ApiCall) -> LinkChangeList:
    """What changed of links after a change: at once, or soon, or nothing after some seconds.

    Without a number it is none, at once, with the number of the newest.
    """
    changes = service.node.pool.changes
    after = changes.last
    if "after" in call.query:
        after = _count(call.query["after"], "of a change", _CHANGE_CHARS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CHANGES_S):
                await changes.after(after)
    now = asyncio.get_running_loop().time()
    told = tuple(_change_view(change, now) for change in changes.since(after))
    return LinkChangeList(told, changes.missed(after), changes.last)


def _change_view(change: LinkChange, now: float) -> LinkChangeView:
    path = change.path
    return LinkChangeView(
        number=change.number,
        ago_s=now - change.at,
        peer_id=change.peer_id,
        event=change.event,
        path=path.kind,
        local_address=path.local,
        remote_address=path.remote,
        relay=path.relay,
        end=change.end,
        reason=change.reason,
    )


async def network(service: Service, call: ApiCall) -> NetworkReport:
    """What the node has found out about its network."""
    return service.node.doctor.network()


async def share(service: Service, call: ApiCall, progress: ReportProgress) -> ShareResult:
    """Share a folder or a file of this machine."""
    source = absolute_path(call.body["path"])
    given = call.body.get("origins")
    origins = None if given is None else tuple(dict.fromkeys(map(named_origin, given)))
    return await service.node.sharing.share(
        source,
        call.body.get("name"),
        progress,
        exclude=call.body.get("exclude", ()),
        continues=call.body.get("continues", False),
        times=call.body.get("times", True),
        origins=origins,
    )


async def look(service: Service, call: ApiCall, progress: ReportProgress) -> ModOffer:
    """Tell what a link would bring: name, files and size; nothing of it is kept."""
    link = await meant(service, call.body["link"])
    return await service.node.sharing.look(link, progress)


async def meant(service: Service, text: str) -> ModLink:
    """The version that a link means: that of a lineage means its newest one, or one by number."""
    link = any_link_in(text)
    if isinstance(link, LineageLink):
        return await service.node.following.resolve(link)
    return link


async def remove(service: Service, call: ApiCall) -> Removed:
    """Stop sharing a mod and forget it."""
    mod_id = given_mod_id(call.path["mod_id"])
    if not await service.node.sharing.remove(mod_id):
        raise NotFound(f"this node has no mod {base32_text(mod_id)}")
    return Removed(mod_id)


def given_mod_id(text: str) -> bytes:
    """A mod id as it was pasted; raises BadRequest."""
    text = bare(plain(text))
    try:
        return base32_bytes(text, _MOD_ID_BYTES)
    except ValueError:
        raise BadRequest(
            f"not a mod id, which has {_MOD_ID_CHARS} of a-z and 2-7: {text[:80]!r}"
        ) from None


async def vault(service: Service, call: ApiCall) -> VaultView:
    """What each mod takes of the vault, and what may be kept."""
    return VaultView.of(await service.node.sharing.keeping.state())


async def scrub(service: Service, call: ApiCall, progress: ReportProgress) -> ScrubResult:
    """Check all bytes of the vault, from where that was stopped, and repair from the swarm."""
    found = await service.node.sharing.keeping.scrub(progress)
    return ScrubResult(found.blobs, found.size, found.bad, found.repaired, found.lacking)


async def pin(service: Service, call: ApiCall) -> Pinned:
    """Keep a mod whatever the vault's budget says."""
    return await _pin(service, call.body["mod_id"], pinned=True)


async def unpin(service: Service, call: ApiCall) -> Pinned:
    """Let a mod be evicted where the vault's budget has no room for it."""
    return await _pin(service, call.path["mod_id"], pinned=False)


async def _pin(service: Service, text: str, *, pinned: bool) -> Pinned:
    mod_id = given_mod_id(text)
    if not await service.node.sharing.keeping.pin(mod_id, pinned=pinned):
        raise NotFound(f"this node has no mod {base32_text(mod_id)}")
    return Pinned(mod_id, pinned)


async def cache(service: Service, call: ApiCall) -> CacheView:
    """What is kept for others, and what never is."""
    return CacheView.of(await service.node.sharing.caching.state())


async def drop(service: Service, call: ApiCall) -> CacheChange:
    """Forget a mod of the cache; it comes again only if it is asked for as much again."""
    mod_id = given_mod_id(call.path["mod_id"])
    return CacheChange(mod_id, await service.node.sharing.caching.drop(mod_id))


async def refuse(service: Service, call: ApiCall) -> CacheChange:
    """Never take a mod into the cache, and drop it."""
    mod_id = given_mod_id(call.body["mod_id"])
    return CacheChange(mod_id, await service.node.sharing.caching.refuse(mod_id))


async def allow(service: Service, call: ApiCall) -> CacheChange:
    """Refuse a mod no more."""
    mod_id = given_mod_id(call.path["mod_id"])
    return CacheChange(mod_id, await service.node.sharing.caching.allow(mod_id))


async def connect(service: Service, call: ApiCall) -> LinkView:
    """Open a link to a peer, or show the one that is open; `keep` holds also where none opens."""
    peer_id = peer_id_in(call.body["peer"])
    if peer_id == service.node.identity.peer_id:
        raise BadRequest("that is this node's own id")
    if "keep" in call.body:
        service.node.keep_link(peer_id, keep=call.body["keep"])
    return _view(service, await service.node.pool.connect(peer_id))


def _view(service: Service, link: Link) -> LinkView:
    path, round_trip_s = link.path, link.round_trip_s
    return LinkView(
        peer_id=link.peer_id,
        direction=link.direction,
        path=path.kind,
        local_address=path.local,
        local_type=path.local_type,
        remote_address=path.remote,
        remote_type=path.remote_type,
        relay=path.relay,
        paths=tuple(map(_path_view, link.paths)),
        rtt_ms=_ms(round_trip_s),
        stages=_stage_times(link),
        own=link.own,
        peer=link.peer,
        expected=expected_of(link.own, link.peer),
        signaled_via=link.signaled_via,
        age_s=asyncio.get_running_loop().time() - link.opened_at,
        bytes_sent=link.bytes_sent,
        bytes_received=link.bytes_received,
        kept=service.node.pool.wanted_for(link.peer_id),
    )


def _path_view(path: MeasuredPath) -> PathView:
    ends, report = path.ends, path.report
    return PathView(
        kind=report.path_class,
        selected=report.selected,
        reason=report.reason,
        local_address=ends.local,
        local_type=ends.local_type,
        remote_address=ends.remote,
        remote_type=ends.remote_type,
        relay=ends.relay,
        rtt_ms=_ms(report.round_trip_s),
        loss=report.loss,
        bytes_per_second=None if report.rate is None else round(report.rate),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _stage_times(link: Link) -> StageTimes:
    took_s = link.stage_seconds
    return StageTimes(
        call_ms=took_s[Stage.CALL] * 1000 if Stage.CALL in took_s else None,
        ice_ms=took_s[Stage.ICE] * 1000,
        dtls_ms=took_s[Stage.DTLS] * 1000,
        sctp_ms=took_s[Stage.SCTP] * 1000,
        session_ms=took_s[Stage.SESSION] * 1000,
    )


async def dht_lookup(service: Service, call: ApiCall) -> LookupView:
    """The DHT contacts nearest to a target, and the contacts that led to each."""
    paths = _count(call.query.get("paths", "1"), "of lookup paths", _COUNT_CHARS)
    return await service.node.diagnosis.lookup(_target(call), paths)


async def dht_records(service: Service, call: ApiCall) -> RecordsView:
    """The verified records under a target, and the contacts that hold them."""
    return await service.node.diagnosis.records(_target(call), call.query.get("kind"))


async def dht_crawl(service: Service, call: ApiCall) -> CrawlView:
    """Walk through the DHT from contact to contact, within bounds."""
    contacts = call.body.get("contacts", limits.CRAWL_CONTACTS)
    if contacts < 1:
        raise BadRequest("a crawl asks at least one contact")
    return await service.node.diagnosis.crawl(contacts)


def _count(text: str, what: str, most_chars: int) -> int:
    """The number in a query; raises BadRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= most_chars):
        raise BadRequest(f"not a number {what}: {text[:80]!r}")
    return int(text)


def _target(call: ApiCall) -> str:
    if "target" not in call.query:
        raise BadRequest("the query lacks 'target'")
    return call.query["target"]


async def stop(service: Service, call: ApiCall) -> Stopping:
    """End the node, in order."""
    service.on_stop()
    return Stopping(stopping=True)


def absolute_path(text: str) -> Path:
    """A path of this machine; raises BadRequest."""
    path = Path(text)
    if "\0" in text:
        raise BadRequest("a path cannot hold a NUL character")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise BadRequest(f"no file of this system can be called {quoted(text)}") from None
    if not path.is_absolute():
        raise BadRequest(f"the path must be absolute, for the node has another folder: {text!r}")
    return path
