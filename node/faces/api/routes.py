"""The one list of routes: the server registers it, and the OpenAPI document is made from it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from node.content.progress import ReportProgress
from node.faces.api import following, forms, handlers, schemas, transfers
from node.faces.api.handlers import ApiCall, Service
from node.faces.api.validation import Schema
from node.faces.pages import verbs as pages

RouteHandler = Callable[[Service, ApiCall], Awaitable[object]]
StreamHandler = Callable[[Service, ApiCall, ReportProgress], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Route:
    """A verb of the API. Exactly one of `handler` and `stream_handler` is set.

    `query` maps the optional parameters to what they mean.
    """

    method: str
    path: str
    handler: RouteHandler | None = None
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
    def form(self) -> forms.Form:
        """How the answer, or a stream's result, is written: by what the handler returns."""
        return forms.form_of(get_type_hints(self.verb, include_extras=True)["return"])

    @property
    def answer(self) -> Schema:
        """The schema of the answer, or of a stream's result."""
        return self.form.schema

    @property
    def path_parameters(self) -> list[str]:
        """The names in braces."""
        return re.findall(r"{(\w+)}", self.path)

    def leads_from(self, path: str) -> bool:
        """Whether this is a route for the path of a request."""
        fixed = map(re.escape, re.split(r"{\w+}", self.path))
        return re.fullmatch("[^/]+".join(fixed), path) is not None


def methods_at(path: str) -> set[str]:
    """The methods of the routes at a path of a request; none where there is no such path."""
    return {route.method for route in ROUTES if route.leads_from(path)}


_TARGET = ("target", "A peer id, a mod's link, or a DHT key of 40 hex digits.")

ROUTES = (
    Route("GET", "/v1/openapi.json", handlers.document),
    Route("GET", "/v1/status", handlers.status),
    Route("GET", "/v1/id", handlers.identity),
    Route("GET", "/v1/mods", handlers.mods),
    Route(
        "GET",
        "/v1/peers",
        handlers.peers,
        query=(("has", "A modswarm link: `has` of each peer tells whether it serves that mod."),),
    ),
    Route("GET", "/v1/links", handlers.links),
    Route(
        "GET",
        "/v1/links/changes",
        handlers.link_changes,
        query=(("after", "The number of a change: waits for one after it. Without it none."),),
    ),
    Route("GET", "/v1/network", handlers.network),
    Route(
        "POST",
        "/v1/mods",
        stream_handler=handlers.share,
        body=schemas.SHARE,
    ),
    Route("DELETE", "/v1/mods/{mod_id}", handlers.remove),
    Route("POST", "/v1/follows", stream_handler=following.follow, body=schemas.FOLLOW),
    Route("GET", "/v1/follows", following.follows),
    Route("DELETE", "/v1/follows/{lineage}", following.unfollow),
    Route("POST", "/v1/follows/{lineage}/agree", following.agree, body=schemas.NOTHING),
    Route("POST", "/v1/follows/{lineage}/resume", following.resume_following, body=schemas.NOTHING),
    Route(
        "POST",
        "/v1/follows/{lineage}/back",
        stream_handler=following.back,
        body=schemas.NOTHING,
    ),
    Route("POST", "/v1/versions", stream_handler=following.versions, body=schemas.LOOK),
    Route("GET", "/v1/lineages", following.lineages),
    Route("POST", "/v1/lineages", following.import_lineage, body=schemas.IMPORT),
    Route("POST", "/v1/lineages/kept", following.keep, body=schemas.KEEP),
    Route("POST", "/v1/lineages/export", following.export_lineage, body=schemas.EXPORT_LINEAGE),
    Route("GET", "/v1/vault", handlers.vault),
    Route("POST", "/v1/scrubs", stream_handler=handlers.scrub, body=schemas.NOTHING),
    Route("POST", "/v1/pins", handlers.pin, body=schemas.PIN),
    Route("DELETE", "/v1/pins/{mod_id}", handlers.unpin),
    Route("GET", "/v1/cache", handlers.cache),
    Route("DELETE", "/v1/cache/{mod_id}", handlers.drop),
    Route("POST", "/v1/cache/refused", handlers.refuse, body=schemas.PIN),
    Route("DELETE", "/v1/cache/refused/{mod_id}", handlers.allow),
    Route(
        "POST",
        "/v1/downloads",
        stream_handler=transfers.download,
        body=schemas.DOWNLOAD,
    ),
    Route("GET", "/v1/downloads", transfers.downloads),
    Route("POST", "/v1/downloads/queue", transfers.queue, body=schemas.DOWNLOAD),
    Route("POST", "/v1/downloads/{id}/pause", transfers.pause, body=schemas.NOTHING),
    Route("POST", "/v1/downloads/{id}/resume", transfers.resume, body=schemas.RESUME),
    Route("DELETE", "/v1/downloads/{id}", transfers.cancel),
    Route("GET", "/v1/limits", transfers.limits),
    Route("POST", "/v1/limits", transfers.limit, body=schemas.LIMITS),
    Route("POST", "/v1/offers", stream_handler=handlers.look, body=schemas.LOOK),
    Route("POST", "/v1/exports", stream_handler=transfers.export, body=schemas.EXPORT),
    Route("POST", "/v1/origins", transfers.origins, body=schemas.ORIGINS),
    Route("POST", "/v1/connect", handlers.connect, body=schemas.CONNECT),
    Route(
        "GET",
        "/v1/dht/lookup",
        handlers.dht_lookup,
        query=(_TARGET, ("paths", "How many disjoint lookup paths, 1 to 8.")),
    ),
    Route(
        "GET",
        "/v1/dht/records",
        handlers.dht_records,
        query=(_TARGET, ("kind", "The kind of record: peer, provider, availability or lineage.")),
    ),
    Route("POST", "/v1/dht/crawl", handlers.dht_crawl, body=schemas.CRAWL),
    Route("POST", "/v1/pages", pages.answer, body=schemas.PAGE),
    Route("GET", "/v1/pages/servers", pages.servers),
    Route("POST", "/v1/stop", handlers.stop, body=schemas.NOTHING),
)

METHODS = {route.method for route in ROUTES}
