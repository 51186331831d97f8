"""Serves the manifests and the sealed chunks of complete mods to HTTP clients, and nothing else.

What leaves counts as what goes to peers: it waits for its turn of the line, where all clients of a
network are one that gives nothing, and the upload limits hold. Clients have no standing, so their
places are shared among networks.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from ipaddress import ip_address
from typing import Final

from node.content.serve.budget import PeerBudget, PeerBudgets
from node.content.serve.line import Line
from node.content.vault.vault import Vault
from node.content.web.client import WebClient, transport_of
from node.content.web.files import Layouts, chunk_parts, manifest_parts
from node.machine.refusals import port_refused
from node.tasks import TaskOwner
from protocol import limits
from protocol.content import frames
from protocol.content.origins.http_places import HttpPlace, HttpPlaces
from protocol.content.origins.requests import (
    FileRequest,
    HttpPart,
    HttpRefusal,
    file_head,
    part_of,
    preflight_head,
    read_request,
    refusal_head,
)
from protocol.errors import BadConfig, LinkClosed, OverLimit
from protocol.places.tenure import network_of

_log = logging.getLogger(__name__)

_RETRY: Final = "Retry-After: 10"


class _Arrival(asyncio.Protocol):
    """A connection that has just come."""

    def __init__(self, server: "WebServer") -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give it a place, or refuse it."""
        self._server.came(transport_of(transport))


class WebServer:
    """The HTTP face of a vault. `start` it where a person asks for it, and `close` it."""

    def __init__(self, vault: Vault, line: Line) -> None:
        self._vault = vault
        self._line = line
        self._layouts = Layouts(vault)
        self._budgets = PeerBudgets()
        self._places = HttpPlaces()
        self._clients: dict[HttpPlace, WebClient] = {}
        self._had: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()
        """Bytes that went to a network of a mod: one that has had all of it waits for others."""
        self._tasks = TaskOwner("HTTP clients")
        self._listening: asyncio.Server | None = None
        self._now = asyncio.get_running_loop().time

    @property
    def defects(self) -> list[BaseException]:
        """What serving raised that no client can be blamed for."""
        return self._tasks.defects

    @property
    def port(self) -> int | None:
        """Where it listens, if it does."""
        return None if self._listening is None else self._listening.sockets[0].getsockname()[1]

    @property
    def url(self) -> str | None:
        """By which clients of its address reach it, if it listens."""
        if self._listening is None:
            return None
        host, port = self._listening.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self, host: str, port: int) -> None:
        """Listen; raises BadConfig where the port cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(
                lambda: _Arrival(self), host, port, backlog=limits.HTTP_ARRIVALS
            )
        except OSError as error:
            raise port_refused(error, f"cannot serve HTTP on {host}:{port}", BadConfig) from error

    async def close(self) -> None:
        """End every connection."""
        if self._listening is not None:
            self._listening.close()
        await self._tasks.close()
        for client in tuple(self._clients.values()):
            client.end()

    def came(self, transport: asyncio.Transport) -> None:
        """A client has connected."""
        host = str((transport.get_extra_info("peername") or ("0.0.0.0",))[0]).partition("%")[0]  # noqa: S104
        literal = ip_address(host)
        literal = getattr(literal, "ipv4_mapped", None) or literal
        network = network_of(str(literal))
        place, goes = self._places.take(network or literal.packed, self._now())
        if goes is not None and goes in self._clients:
            self._clients.pop(goes).end()
        if place is None:
            transport.write(refusal_head(HttpRefusal(503, _RETRY)))
            transport.close()
            return
        peer_id = hashlib.sha256(b"modswarm/http" + place.party).digest()[: limits.ID_BYTES]
        client = self._clients[place] = WebClient(peer_id, network, transport)
        self._tasks.start(self._serve(place, client), name=str(literal))

    async def _serve(self, place: HttpPlace, client: WebClient) -> None:
        try:
            await client.run(self._answer, lambda busy: place.serve(busy=busy))
        finally:
            self._places.leave(place)
            self._clients.pop(place, None)

    async def _answer(self, client: WebClient, head: bytes) -> None:
        request = read_request(head)
        budget = self._budgets.of(client.peer_id)
        try:
            budget.charge(frames.Open(0, request.mod_id), self._now())
        except OverLimit:
            raise HttpRefusal(429, _RETRY) from None
        if request.method == "OPTIONS":
            client.send(preflight_head(request))
        else:
            await self._answer_file(client, request, budget)
        if not request.keeps_alive:
            raise LinkClosed("the client asked for no more")

    async def _answer_file(
        self, client: WebClient, request: FileRequest, budget: PeerBudget
    ) -> None:
        reads = self._vault.read_by(f"http {client.peer_id.hex()}")
        held = await reads.held(request.mod_id)
        if held is None or not held.complete:
            raise HttpRefusal(404)
        if request.is_manifest:
            part = part_of(request, held.manifest_bytes)
            parts = manifest_parts(reads, request.mod_id, part.start, part.end)
        else:
            layout = await self._layouts.of(request.mod_id)
            if layout is None:
                raise HttpRefusal(404)
            part = part_of(request, layout.total)
            parts = chunk_parts(reads, layout, request.mod_id, part.start, part.end)
        client.send(file_head(request, part))
        if request.method == "HEAD":
            return
        sender = self._line.sender(client)
        left = part.end - part.start
        try:
            while left:
                while not await sender.may_send(again=self._has_had(client, request, part)):
                    pass  # others want what they have not had
                chunk, data = await anext(parts, (0, b""))
                if not data:
                    raise LinkClosed("the disk has lost some of a mod")
                await sender.paid(len(data))
                client.send(data)
                await client.drained()
                left -= len(data)
                self._note(client, request, len(data))
                if chunk >= 0:
                    budget.chunk_sent()
        finally:
            sender.end()

    def _has_had(self, client: WebClient, request: FileRequest, part: HttpPart) -> bool:
        """Whether as much of a mod as there is went to the client's network lately."""
        return self._had.get((client.peer_id, request.mod_id), 0) >= part.total

    def _note(self, client: WebClient, request: FileRequest, size: int) -> None:
        key = client.peer_id, request.mod_id
        self._had[key] = self._had.pop(key, 0) + size
        if len(self._had) > limits.HTTP_TAKEN:
            self._had.popitem(last=False)
