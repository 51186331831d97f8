"""The one list of routes: the server registers it, and the OpenAPI document is made from it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from node.content.progress import ReportProgress
from node.faces.api import handlers, schemas
from node.faces.api.handlers import Call, Service
from node.faces.api.validation import Schema

Handler = Callable[[Service, Call], Awaitable[Any]]
StreamHandler = Callable[[Service, Call, ReportProgress], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """A verb of the API. Exactly one of `handler` and `stream_handler` is set.

    `answer` is the schema of the answer, or of a stream's result; `query` maps the optional
    parameters to what they mean.
    """

    method: str
    path: str
    answer: Schema
    handler: Handler | None = None
    stream_handler: StreamHandler | None = None
    body: Schema | None = None
    query: tuple[tuple[str, str], ...] = ()

    @property
    def verb(self) -> Callable[..., Any]:
        """The handler, of either kind."""
        verb = self.handler or self.stream_handler
        assert verb is not None
        return verb

    @property
    def path_parameters(self) -> list[str]:
        """The names in braces."""
        return re.findall(r"{(\w+)}", self.path)


_TARGET = ("target", "A peer id, a mod's link, or a DHT key of 40 hex digits.")

ROUTES = (
    Route("GET", "/v1/openapi.json", schemas.DOCUMENT, handlers.document),
    Route("GET", "/v1/status", schemas.ref("Status"), handlers.status),
    Route("GET", "/v1/id", schemas.ref("Identity"), handlers.identity),
    Route("GET", "/v1/mods", schemas.listing("mods", "Mod"), handlers.mods),
    Route(
        "GET",
        "/v1/peers",
        schemas.listing("peers", "Peer"),
        handlers.peers,
        query=(("has", "A modswarm link: `has` of each peer tells whether it serves that mod."),),
    ),
    Route("GET", "/v1/links", schemas.listing("links", "Link"), handlers.links),
    Route(
        "POST",
        "/v1/mods",
        schemas.ref("SharedMod"),
        stream_handler=handlers.share,
        body=schemas.SHARE,
    ),
    Route("DELETE", "/v1/mods/{mod_id}", schemas.REMOVED, handlers.remove),
    Route(
        "POST",
        "/v1/downloads",
        schemas.ref("Download"),
        stream_handler=handlers.download,
        body=schemas.DOWNLOAD,
    ),
    Route("POST", "/v1/connect", schemas.ref("Link"), handlers.connect, body=schemas.CONNECT),
    Route(
        "GET",
        "/v1/dht/lookup",
        schemas.ref("DhtLookup"),
        handlers.dht_lookup,
        query=(_TARGET, ("paths", "How many disjoint paths, 1 to 8.")),
    ),
    Route(
        "GET",
        "/v1/dht/records",
        schemas.ref("DhtRecords"),
        handlers.dht_records,
        query=(_TARGET, ("kind", "The kind of record: peer, provider or availability.")),
    ),
    Route("POST", "/v1/dht/crawl", schemas.ref("DhtCrawl"), handlers.dht_crawl, body=schemas.CRAWL),
    Route("POST", "/v1/stop", schemas.STOPPING, handlers.stop, body=schemas.NOTHING),
)
