"""The control API over real loopback HTTP: access control, answers, and how work ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.content.progress import Progress, ReportProgress
from node.content.queue.entry import DownloadRequest
from node.faces.api import details, stream
from node.faces.api.document import document, line
from node.faces.api.gate import REQUEST_BYTES
from node.faces.api.routes import ROUTES, Route
from node.faces.api.schemas import COMPONENTS
from node.faces.api.server import ControlServer
from node.faces.api.validation import check
from node.machine.control_file import read_control
from protocol.errors import (
    BadLink,
    CallFailed,
    DiskError,
    ModswarmError,
    NoSources,
    NotFound,
    NotRunning,
    Replayed,
    TargetExists,
    TimedOut,
)
from protocol.identity import base32_text, peer_id_text
from tests.node.faces.fake_following import LINEAGE
from tests.node.faces.fake_node import LINK, MOD_ID, PEER, FakeNode, served
from tests.node.faces.page_offer import page_body

pytestmark = pytest.mark.real_loop

Answer = tuple[int, Any]


class Client:
    """Asks a control server; `headers` replace or (None) remove those of a proper client."""

    def __init__(self, session: aiohttp.ClientSession, address: str, token: str) -> None:
        self.session = session
        self.base = f"http://{address}"
        self.token = token

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        wanted: dict[str, str | None] = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            wanted["Content-Type"] = "application/json"
        wanted.update(headers or {})
        given = {name: value for name, value in wanted.items() if value is not None}
        async with self.session.request(
            method, self.base + path, data=data, headers=given, skip_auto_headers=["Content-Type"]
        ) as answer:
            if answer.content_type == "application/x-ndjson":
                text = await answer.text()
                return answer.status, [json.loads(one) for one in text.splitlines()]
            return answer.status, await answer.json()


@asynccontextmanager
async def control_client(
    folder: Path, on_stop: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[Client, FakeNode]]:
    """A client of a fake node's control server, and the node."""
    async with served(folder, on_stop) as (node, server):
        control = read_control(folder)
        assert control is not None
        assert control[0] == server.address
        async with aiohttp.ClientSession() as session:
            yield Client(session, *control), node


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}0"],
)
async def test_without_the_token_every_route_answers_401(
    tmp_path: Path, header: str | None
) -> None:
    async with control_client(tmp_path) as (client, node):
        given = header.format(token=client.token) if header is not None else None
        for route in ROUTES:
            status, answer = await client.ask(
                route.method, route.path, headers={"Authorization": given}
            )
            assert status == 401, route
            assert answer["error"]["name"] == "unauthorized"
        assert node.asked == []


async def test_a_token_of_other_bytes_than_ascii_is_refused_like_any_other(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, server):
        host, _, port = server.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            b"Authorization: Bearer \xff\xfe\r\n\r\n"
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Origin", "http://127.0.0.1"),
        ("Origin", "null"),
        ("Host", "evil.example"),
        ("Host", "evil.example:80"),
        ("Host", "127.0.0.1.evil.example"),
        ("Host", "192.168.1.5:80"),
        ("Host", "localhost.evil.example"),
    ],
)
async def test_web_pages_are_refused_even_with_the_token(
    tmp_path: Path, name: str, value: str
) -> None:
    async with control_client(tmp_path) as (client, node):
        status, answer = await client.ask("GET", "/v1/status", headers={name: value})
        assert (status, answer["error"]["name"]) == (403, "forbidden")
        assert node.asked == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:80", "[::1]"])
async def test_loopback_names_are_served(tmp_path: Path, host: str) -> None:
    async with control_client(tmp_path) as (client, _):
        status, _ = await client.ask("GET", "/v1/status", headers={"Host": host})
        assert status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "localhost", "example.org"])
async def test_it_binds_to_loopback_literals_only(tmp_path: Path, host: str) -> None:
    async with served(tmp_path) as (node, _):
        other = ControlServer(node, version="1", on_stop=lambda: None)  # type: ignore[arg-type]
        with pytest.raises(ModswarmError, match="loopback"):
            await other.start(host)


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b" " * (REQUEST_BYTES + 1), 413, "body_too_large"),
        (b"{", 415, "not_json"),
        (b"[" * 20_000, 415, "not_json"),
        (b"\xff", 415, "not_json"),
        (b"[]", 400, "bad_request"),
        (b"{}", 400, "bad_request"),
        (b'{"path": 1}', 400, "bad_request"),
        (b'{"path": "/x", "more": 1}', 400, "bad_request"),
        (b'{"path": "not/absolute"}', 400, "bad_request"),
        (b'{"path": "/a\\u0000b"}', 400, "bad_request"),
        (b'{"path": "/a\\ud800b"}', 400, "bad_request"),
        (b'{"path": "/x", "name": "%s"}' % (b"n" * 1000), 400, "bad_request"),
    ],
)
async def test_bad_bodies_are_refused_before_the_node_hears_of_them(
    tmp_path: Path, body: bytes, status: int, name: str
) -> None:
    async with control_client(tmp_path) as (client, node):
        got, answer = await client.ask("POST", "/v1/mods", data=body)
        assert (got, answer["error"]["name"]) == (status, name)
        assert node.asked == []


async def test_a_body_must_be_declared_as_json(tmp_path: Path) -> None:
    async with control_client(tmp_path) as (client, _):
        for declared in (None, "text/plain", "application/x-www-form-urlencoded"):
            status, answer = await client.ask(
                "POST", "/v1/stop", {}, headers={"Content-Type": declared}
            )
            assert (status, answer["error"]["name"]) == (415, "not_json")


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/", 404, "no_such_path"),
        ("GET", "/v1/nothing", 404, "no_such_path"),
        ("GET", "/v2/status", 404, "no_such_path"),
        ("PUT", "/v1/status", 405, "method_not_allowed"),
        ("GET", "/v1/status?x=1", 400, "bad_request"),
        ("GET", "/v1/peers?has=nonsense", 400, "bad_link"),
        ("GET", "/v1/dht/lookup", 400, "bad_request"),
        ("GET", "/v1/dht/records?kind=peer", 400, "bad_request"),
        ("GET", "/v1/dht/lookup?target=x&target=y", 400, "bad_request"),
        ("GET", "/v1/dht/lookup?target=x&paths=-1", 400, "bad_request"),
        ("GET", "/v1/dht/lookup?target=x&paths=9999", 400, "bad_request"),
        ("GET", "/v1/links/changes?after=-1", 400, "bad_request"),
        ("GET", "/v1/links/changes?after=1234567890123", 400, "bad_request"),
        ("DELETE", "/v1/mods/abc", 400, "bad_request"),
        ("DELETE", "/v1/mods/" + base32_text(bytes(32)), 404, "not_found"),
        ("DELETE", "/v1/pins/" + base32_text(bytes(32)), 404, "not_found"),
    ],
)
async def test_wrong_requests_are_answered_as_json(
    tmp_path: Path, method: str, path: str, status: int, name: str
) -> None:
    async with control_client(tmp_path) as (client, _):
        got, answer = await client.ask(method, path)
        assert (got, answer["error"]["name"]) == (status, name)
        check(answer, COMPONENTS["Failure"], COMPONENTS)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadLink("a"), 400),
        (TargetExists("b"), 409),
        (DiskError("c"), 507),
        (NotFound("d"), 404),
        (NoSources("e"), 404),
        (TimedOut("f"), 504),
        (CallFailed("g"), 502),
        (Replayed("h"), 502),
        (ModswarmError("i"), 500),
    ],
)
async def test_errors_keep_name_and_message_and_get_their_status(
    tmp_path: Path, error: ModswarmError, status: int
) -> None:
    async with control_client(tmp_path) as (client, node):
        node.failure = error
        got, answer = await client.ask("GET", "/v1/mods")
        assert got == status
        assert answer == {"error": {"name": error.name, "message": str(error)}}
        back = details.from_json(answer)
        assert type(back) is type(error)
        assert str(back) == str(error)


async def test_a_defect_is_logged_and_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with control_client(tmp_path) as (client, node):
        node.failure = ValueError("secret detail")
        status, answer = await client.ask("GET", "/v1/mods")
        assert (status, answer["error"]["name"]) == (500, "modswarm_error")
        told = await client.ask("POST", "/v1/mods", {"path": "/x"})
        assert "secret" not in json.dumps([answer, told])
    assert caplog.text.count("secret detail") >= 2


FOLLOWED = f"/v1/follows/{base32_text(LINEAGE.lineage_key)}"
REQUESTS: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", "/v1/openapi.json"): ("/v1/openapi.json", None),
    ("GET", "/v1/status"): ("/v1/status", None),
    ("GET", "/v1/id"): ("/v1/id", None),
    ("GET", "/v1/mods"): ("/v1/mods", None),
    ("GET", "/v1/peers"): (f"/v1/peers?has={str(LINK).replace('#', '%23')}", None),
    ("GET", "/v1/links"): ("/v1/links", None),
    ("GET", "/v1/links/changes"): ("/v1/links/changes?after=0", None),
    ("GET", "/v1/network"): ("/v1/network", None),
    ("POST", "/v1/mods"): ("/v1/mods", {"path": "/mods/hats", "name": "Hats"}),
    ("DELETE", "/v1/mods/{mod_id}"): (f"/v1/mods/{base32_text(MOD_ID)}", None),
    ("GET", "/v1/vault"): ("/v1/vault", None),
    ("POST", "/v1/scrubs"): ("/v1/scrubs", {}),
    ("POST", "/v1/pins"): ("/v1/pins", {"mod_id": base32_text(MOD_ID)}),
    ("DELETE", "/v1/pins/{mod_id}"): (f"/v1/pins/{base32_text(MOD_ID)}", None),
    ("GET", "/v1/cache"): ("/v1/cache", None),
    ("DELETE", "/v1/cache/{mod_id}"): (f"/v1/cache/{base32_text(MOD_ID)}", None),
    ("POST", "/v1/cache/refused"): ("/v1/cache/refused", {"mod_id": base32_text(MOD_ID)}),
    ("DELETE", "/v1/cache/refused/{mod_id}"): (f"/v1/cache/refused/{base32_text(MOD_ID)}", None),
    ("POST", "/v1/downloads"): ("/v1/downloads", {"link": str(LINK), "to": "/out"}),
    ("GET", "/v1/limits"): ("/v1/limits", None),
    ("POST", "/v1/limits"): ("/v1/limits", {"up": "2M", "down_per_peer": "config"}),
    ("GET", "/v1/downloads"): ("/v1/downloads", None),
    ("POST", "/v1/downloads/queue"): (
        "/v1/downloads/queue",
        {"link": str(LINK), "to": "/queue", "priority": "high"},
    ),
    ("POST", "/v1/downloads/{id}/pause"): ("/v1/downloads/1/pause", {}),
    ("POST", "/v1/downloads/{id}/resume"): ("/v1/downloads/1/resume", {"priority": "low"}),
    ("DELETE", "/v1/downloads/{id}"): ("/v1/downloads/1", None),
    ("POST", "/v1/offers"): ("/v1/offers", {"link": str(LINK)}),
    ("POST", "/v1/origins"): ("/v1/origins", {"link": str(LINK)}),
    ("POST", "/v1/exports"): ("/v1/exports", {"mod_id": base32_text(MOD_ID), "to": "/x"}),
    ("POST", "/v1/follows"): ("/v1/follows", {"link": str(LINEAGE), "to": "/games/hats"}),
    ("GET", "/v1/follows"): ("/v1/follows", None),
    ("DELETE", "/v1/follows/{lineage}"): (FOLLOWED, None),
    ("POST", "/v1/follows/{lineage}/agree"): (f"{FOLLOWED}/agree", {}),
    ("POST", "/v1/follows/{lineage}/resume"): (f"{FOLLOWED}/resume", {}),
    ("POST", "/v1/follows/{lineage}/back"): (f"{FOLLOWED}/back", {}),
    ("POST", "/v1/versions"): ("/v1/versions", {"link": str(LINEAGE)}),
    ("GET", "/v1/lineages"): ("/v1/lineages", None),
    ("POST", "/v1/lineages"): ("/v1/lineages", {"lineage": "modswarm-lineage:abc"}),
    ("POST", "/v1/lineages/kept"): ("/v1/lineages/kept", {"name": "hats", "versions": 3}),
    ("POST", "/v1/lineages/export"): ("/v1/lineages/export", {"name": "hats"}),
    ("POST", "/v1/connect"): ("/v1/connect", {"peer": peer_id_text(PEER)}),
    ("GET", "/v1/dht/lookup"): (f"/v1/dht/lookup?target={'00' * 20}&paths=4", None),
    ("GET", "/v1/dht/records"): (f"/v1/dht/records?target={peer_id_text(PEER)}&kind=peer", None),
    ("POST", "/v1/dht/crawl"): ("/v1/dht/crawl", {"contacts": 50}),
    ("POST", "/v1/pages"): ("/v1/pages", page_body),
    ("GET", "/v1/pages/servers"): ("/v1/pages/servers", None),
    ("POST", "/v1/stop"): ("/v1/stop", {}),
}


def request_of(method: str, path: str) -> tuple[str, Any]:
    """A page's body tells the time at which it is sent."""
    asked, body = REQUESTS[method, path]
    return asked, body() if callable(body) else body


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_each_route_is_documented_and_answers_as_documented(
    tmp_path: Path, route: Route
) -> None:
    async with control_client(tmp_path) as (client, node):
        if "/downloads" in route.path:
            node.sharing.hold = "{id}" in route.path
            node.downloads.add(DownloadRequest(LINK, target=Path("/queued")))
            await asyncio.sleep(0)
        _, told = await client.ask("GET", "/v1/openapi.json")
        operation = told["paths"][route.path][route.method.lower()]
        components = told["components"]["schemas"]
        path, body = request_of(route.method, route.path)
        if body is not None:
            content = operation["requestBody"]["content"]["application/json"]
            check(body, content["schema"], components)
        status, answer = await client.ask(route.method, path, body)
        assert status == 200, answer
        for media_type, content in operation["responses"]["200"]["content"].items():
            lines = answer if media_type == "application/x-ndjson" else [answer]
            for one in lines:
                check(one, content["schema"], components)
            assert route.stream_handler is None or "result" in lines[-1]


def test_the_document_has_every_route_and_nothing_else() -> None:
    told = document(ROUTES, "1.2.3")
    documented = {
        (method.upper(), path) for path, methods in told["paths"].items() for method in methods
    }
    assert documented == {(route.method, route.path) for route in ROUTES}
    assert (told["openapi"], told["info"]["version"]) == ("3.1.0", "1.2.3")
    names = [method["operationId"] for one in told["paths"].values() for method in one.values()]
    assert len(set(names)) == len(names)
    for reference in _references(told):
        assert reference.removeprefix("#/components/schemas/") in COMPONENTS


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for item in value.values() for one in _references(item)]
    if isinstance(value, list):
        return [one for item in value for one in _references(item)]
    return []


async def test_the_arguments_reach_the_node(tmp_path: Path) -> None:
    stops: list[bool] = []
    async with control_client(tmp_path, lambda: stops.append(True)) as (client, node):
        for path, body in (request_of(*route) for route in REQUESTS):
            await client.ask("POST" if body is not None else "GET", path, body)
        await client.ask("POST", "/v1/downloads", {"link": str(LINK), "into": "/mods"})
        assert ("share", Path("/mods/hats"), "Hats") in node.asked
        assert ("get", LINK, Path("/out"), None) in node.asked
        assert ("get", LINK, None, Path("/mods")) in node.asked
        assert ("get", LINK, Path("/queue"), None) in node.asked
        assert ("peers", LINK) in node.asked
        assert ("connect", PEER) in node.asked
        assert stops == [True]


@pytest.mark.parametrize("place", [{}, {"to": "/a", "into": "/b"}])
async def test_a_download_goes_to_one_place(tmp_path: Path, place: dict[str, str]) -> None:
    async with control_client(tmp_path) as (client, _):
        status, answer = await client.ask("POST", "/v1/downloads", {"link": str(LINK), **place})
        assert (status, answer["error"]["name"]) == (400, "bad_request")


async def test_a_failure_before_any_progress_has_its_status(tmp_path: Path) -> None:
    async with control_client(tmp_path) as (client, node):
        node.failure = NoSources("no peer serves it")
        body = {"link": str(LINK), "to": "/out"}
        status, answer = await client.ask("POST", "/v1/downloads", body)
        assert status == 404
        assert answer == {"error": {"name": "no_sources", "message": "no peer serves it"}}


@pytest.mark.parametrize(
    ("error", "name"), [(NoSources("gone"), "no_sources"), (ValueError("x"), "modswarm_error")]
)
async def test_a_failure_after_progress_is_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, name: str
) -> None:
    monkeypatch.setattr(stream, "TICK_S", 0.01)
    told = asyncio.Event()

    async def work(progress: ReportProgress) -> None:
        progress(Progress("finding"))
        await told.wait()
        raise error

    lines: list[dict[str, Any]] = []

    async def write(one: dict[str, Any]) -> None:
        lines.append(one)
        told.set()

    await stream.tell(work, write, asyncio.Event())
    assert lines[0]["progress"]["stage"] == "finding"
    assert lines[-1]["error"]["name"] == name


async def test_a_download_is_cancelled_with_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LINE_EVERY_S", 0.0)
    monkeypatch.setattr(stream, "TICK_S", 0.01)
    async with control_client(tmp_path) as (client, node):
        node.sharing.hold = True
        body = json.dumps({"link": str(LINK), "to": "/out"})
        headers = {
            "Authorization": f"Bearer {client.token}",
            "Content-Type": "application/json",
        }
        answer = await client.session.post(
            client.base + "/v1/downloads", data=body, headers=headers
        )
        first = json.loads(await answer.content.readline())
        assert first["progress"]["stage"] == "chunks"
        assert not node.sharing.cancelled.is_set()
        answer.close()
        async with asyncio.timeout(5):
            await node.sharing.cancelled.wait()
        assert (await client.ask("GET", "/v1/status"))[0] == 200


async def test_closing_ends_running_downloads_with_a_reason(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, server), aiohttp.ClientSession() as session:
        node.sharing.hold = True
        control = read_control(tmp_path)
        assert control is not None
        body = {"link": str(LINK), "to": "/out"}
        asking = asyncio.create_task(Client(session, *control).ask("POST", "/v1/downloads", body))
        await node.sharing.downloading.wait()
        began = asyncio.get_running_loop().time()
        await server.close()
        assert asyncio.get_running_loop().time() - began < 1.5
        status, answer = await asking
        assert (status, answer["error"]["name"]) == (503, NotRunning.name)
        await node.downloads.close()
        assert node.sharing.cancelled.is_set()
        assert json.loads(node.home.downloads.read_text())["downloads"][0]["state"] == "waiting"
        assert read_control(tmp_path) is None


def test_lines_of_streams_are_documented() -> None:
    streams = [route for route in ROUTES if route.stream_handler is not None]
    paths = {"/v1/mods", "/v1/scrubs", "/v1/downloads", "/v1/offers", "/v1/exports"}
    paths |= {"/v1/versions", "/v1/follows", "/v1/follows/{lineage}/back"}
    assert {route.path for route in streams} == paths
    for route in streams:
        check({"progress": None}, line(route), COMPONENTS)
        check({"error": {"name": "x", "message": "y"}}, line(route), COMPONENTS)
        with pytest.raises(ModswarmError):
            check({"result": {}}, line(route), COMPONENTS)
