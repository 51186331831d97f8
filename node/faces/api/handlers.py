"""One function for each verb of the control API: JSON in, JSON out, errors of the one tree.

Nothing here knows HTTP. `Call` carries what the request brought, already checked against the
route's schema; what only a parser can check (links, ids, paths) is checked here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.content.progress import ReportProgress
from node.faces.api.errors import BadRequest
from node.runtime import Node
from protocol import limits
from protocol.content.link import parse as parse_link
from protocol.errors import NotFound
from protocol.identity import base32_bytes, base32_text, parse_peer_id, peer_id_text

_MOD_ID_BYTES = 32
_COUNT_CHARS = 3


@dataclass(frozen=True, slots=True)
class Call:
    """A request's body, query parameters and path parameters."""

    body: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service:
    """What handlers work on: the node, the API's own document, and how to ask the node to end."""

    node: Node
    document: dict[str, Any]
    on_stop: Callable[[], None]


async def document(service: Service, call: Call) -> Any:
    """The OpenAPI document of this node."""
    return service.document


async def status(service: Service, call: Call) -> Any:
    """How the node is doing."""
    return service.node.status()


async def identity(service: Service, call: Call) -> Any:
    """Who the node is, and the lines to give to friends."""
    node = service.node
    return {
        "peer_id": peer_id_text(node.identity.peer_id),
        "public_key": base32_text(node.identity.public_key),
        "friend_addresses": node.friend_addresses(),
    }


async def mods(service: Service, call: Call) -> Any:
    """The mods in the vault."""
    return {"mods": await service.node.mods()}


async def peers(service: Service, call: Call) -> Any:
    """The peers that the node knows, and whether they have a mod."""
    link = call.query.get("has")
    return {"peers": await service.node.peers(parse_link(link) if link else None)}


async def links(service: Service, call: Call) -> Any:
    """The open links."""
    return {"links": service.node.links()}


async def share(service: Service, call: Call, progress: ReportProgress) -> Any:
    """Share a folder or a file of this machine."""
    return await service.node.share(_absolute(call.body["path"]), call.body.get("name"), progress)


async def download(service: Service, call: Call, progress: ReportProgress) -> Any:
    """Fetch a mod into the folder `to`, or into a folder of its own name below `into`."""
    link = parse_link(call.body["link"])
    if ("to" in call.body) == ("into" in call.body):
        raise BadRequest("a download takes one of 'to' and 'into'")
    node = service.node
    if "to" in call.body:
        return await node.get(link, _absolute(call.body["to"]), progress=progress)
    return await node.get(link, into=_absolute(call.body["into"]), progress=progress)


async def remove(service: Service, call: Call) -> Any:
    """Stop sharing a mod and forget it."""
    mod_id = call.path["mod_id"]
    try:
        found = await service.node.remove(base32_bytes(mod_id, _MOD_ID_BYTES))
    except ValueError:
        raise BadRequest(f"not a mod id: {mod_id[:80]!r}") from None
    if not found:
        raise NotFound(f"this node has no mod {mod_id}")
    return {"removed": mod_id}


async def connect(service: Service, call: Call) -> Any:
    """Open a link to a peer, or show the one that is open."""
    return await service.node.connect(parse_peer_id(call.body["peer"]))


async def dht_lookup(service: Service, call: Call) -> Any:
    """The DHT contacts nearest to a target, and by whom each was found."""
    paths = call.query.get("paths", "1")
    if not (paths.isascii() and paths.isdigit() and len(paths) <= _COUNT_CHARS):
        raise BadRequest(f"not a number of paths: {paths[:80]!r}")
    return await service.node.diagnosis.lookup(_target(call), int(paths))


async def dht_records(service: Service, call: Call) -> Any:
    """The verified records under a target, and who keeps them."""
    return await service.node.diagnosis.records(_target(call), call.query.get("kind"))


async def dht_crawl(service: Service, call: Call) -> Any:
    """Walk through the DHT from contact to contact, within bounds."""
    contacts = call.body.get("contacts", limits.CRAWL_CONTACTS)
    if contacts < 1:
        raise BadRequest("a crawl asks at least one contact")
    return await service.node.diagnosis.crawl(contacts)


def _target(call: Call) -> str:
    if "target" not in call.query:
        raise BadRequest("the query lacks 'target'")
    return call.query["target"]


async def stop(service: Service, call: Call) -> Any:
    """End the node, in order."""
    service.on_stop()
    return {"stopping": True}


def _absolute(text: str) -> Path:
    path = Path(text)
    if "\0" in text:
        raise BadRequest("a path cannot hold a NUL character")
    if not path.is_absolute():
        raise BadRequest(f"the path must be absolute, for the node has another folder: {text!r}")
    return path
