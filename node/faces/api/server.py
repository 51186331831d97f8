"""The control API on aiohttp: one loopback port, the table of routes, JSON for every answer."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from aiohttp import web

from node.content.progress import ReportProgress
from node.faces.api import details, errors, guard, stream
from node.faces.api.document import document
from node.faces.api.gate import ARRIVALS, HEAD_BYTES, REQUEST_BYTES, Gate
from node.faces.api.handlers import ApiCall, Service
from node.faces.api.routes import ROUTES, Route, StreamHandler
from node.faces.api.validation import check
from node.faces.pages.offers import PageOffers
from node.runtime import Node
from protocol.errors import ModswarmError
from protocol.texts.characters import is_blank

_log = logging.getLogger(__name__)

_SHUTDOWN_S = 0.5
_BODY_S = 10.0
"""For a body of at most REQUEST_BYTES, over loopback."""
_LINGERING_S = 1.0
"""For a body that no handler reads."""


class _Untraced(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp tells of bytes that are no HTTP: a sentence will do."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave the traceback out."""
        return msg, {**kwargs, "exc_info": None}


class ControlServer:
    """Serves one node's control API and writes its address into the home.

    `on_stop` is called when a client asks the node to end; the runner of the node then closes this
    server and stops the node.
    """

    def __init__(self, node: Node, *, version: str, on_stop: Callable[[], None]) -> None:
        self._home = node.home
        self._token = node.environment.rng.randbytes(guard.BEARER_BYTES).hex()
        self._origins = node.config.page_origins
        pages = PageOffers(node.identity, lambda: node.pool, node.environment.wall)
        self._service = Service(node, document(ROUTES, version), on_stop, pages)
        self._stopping = asyncio.Event()
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=_Untraced(_log, {}),
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            shutdown_timeout=_SHUTDOWN_S,
            lingering_time=_LINGERING_S,
        )
        self._gate: Gate | None = None
        self._listening: asyncio.Server | None = None
        self.address = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind and write the address into the home.

        Raises BadConfig for a host that is not loopback, OSError.
        """
        guard.check_loopback(host)
        await self._runner.setup()
        serve = self._runner.server
        assert serve is not None
        self._gate = Gate(self._token, serve, lambda: len(serve.connections), self._origins)
        self._listening = await asyncio.get_running_loop().create_server(
            self._gate.knock, host, port, backlog=ARRIVALS
        )
        bound = self._listening.sockets[0].getsockname()
        self.address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
        self._home.write_control(self.address, self._token)

    async def close(self) -> None:
        """Take no more requests, end those that run, and close; takes about a second at most."""
        self._home.remove_control()
        self._service.node.downloads.keep_all()  # though what watches them ends now
        self._stopping.set()
        if self._listening is not None:
            self._listening.close()
        if self._gate is not None:
            self._gate.close()
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=REQUEST_BYTES, middlewares=[self._guarded])
        application.on_response_prepare.append(self._prove)
        for route in ROUTES:
            application.router.add_route(route.method, route.path, self._served(route))
        return application

    async def _prove(self, request: web.Request, response: web.StreamResponse) -> None:
        """Show that it is this node that answers: the gate refuses requests without the token."""
        response.headers[guard.PROOF_HEADER] = guard.proof(self._token)
        if "Origin" in request.headers:  # a permitted one, or the request had not come so far
            response.headers.update(guard.cross_origin_headers(request.headers["Origin"]))

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Check the right to ask as the gate did, by what aiohttp read; answer failures as JSON."""
        answer = await self._answered(request, handler)
        answer.force_close()
        if not answer.prepared:
            answer.headers.update(self._clock_header())
        return answer

    def _clock_header(self) -> dict[str, str]:
        sentence = self._service.node.clock_sentence
        return {errors.CLOCK_HEADER: sentence} if sentence else {}

    async def _answered(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        try:
            guard.check_request(request.headers, self._token, request.path, self._origins)
            return await handler(request)
        except web.HTTPException as refusal:
            return _failure(_refused(refusal))
        except ModswarmError as error:
            return _failure(error)
        except Exception:  # noqa: BLE001 (logged, and answered as JSON; the server goes on)
            _log.exception("%s %s failed", request.method, request.path)
            return _failure(errors.defect())

    def _served(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            call = await self._call(request, route)
            if route.stream_handler is not None:
                return await self._stream(request, route, route.stream_handler, call)
            answered = await route.verb(self._service, call)
            return web.json_response(route.form.write(answered))

        return answer

    async def _call(self, request: web.Request, route: Route) -> ApiCall:
        _check_query(request.query, dict(route.query))
        body: Any = {}
        if route.body is not None:
            body = await _json_body(request)
            check(body, route.body, self._service.document["components"]["schemas"])
        return ApiCall(body, dict(request.query), dict(request.match_info))

    async def _stream(
        self, request: web.Request, route: Route, handler: StreamHandler, call: ApiCall
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        response.force_close()

        async def write(line: dict[str, Any]) -> None:
            if not response.prepared:
                response.headers.update(self._clock_header())
                await response.prepare(request)
            await response.write(json.dumps(line).encode() + b"\n")

        async def work(progress: ReportProgress) -> dict[str, Any]:
            told: dict[str, Any] = route.form.write(await handler(self._service, call, progress))
            return told

        try:
            await stream.tell(work, write, self._stopping)
        except ConnectionResetError:
            _log.info("%s %s was cancelled by its client", request.method, request.path)
        return response


def _check_query(given: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Raise BadRequest unless each parameter is `known`, by its meaning, and has one value."""
    unknown = set(given) - set(known)
    if unknown:
        raise errors.BadRequest(f"this route takes no parameter {min(unknown)[:80]!r}")
    if len(given) > len(set(given)):
        raise errors.BadRequest("a parameter stands there twice")
    for name, value in given.items():
        if is_blank(value):
            raise errors.BadRequest(f"the parameter {name!r} is empty; it is: {known[name]}")


async def _json_body(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise errors.NotJson("send the body as application/json")
    try:
        async with asyncio.timeout(_BODY_S):
            return json.loads(await request.read())
    except TimeoutError:
        raise errors.BodyTooSlow("the body did not come in time") from None
    except (ValueError, RecursionError):
        raise errors.NotJson("the body is not JSON") from None


def _refused(refusal: web.HTTPException) -> ModswarmError:
    """What aiohttp itself refuses, as an error of ours."""
    if isinstance(refusal, web.HTTPMethodNotAllowed):
        return errors.MethodNotAllowed.but(refusal.allowed_methods)
    if isinstance(refusal, web.HTTPNotFound):
        return errors.NoSuchPath.at_all()
    return errors.BadRequest(refusal.reason)


def _failure(error: ModswarmError) -> web.Response:
    return web.json_response(
        details.as_json(error),
        status=errors.http_status_of(error),
        headers=errors.headers_of(error),
    )
