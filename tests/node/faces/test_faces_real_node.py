"""What real nodes answer through the control API is what the document says they answer."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.config import Config
from node.environment import Environment
from node.faces.api.document import line
from node.faces.api.routes import ROUTES
from node.faces.api.schemas import COMPONENTS
from node.faces.api.server import ControlServer
from node.faces.api.validation import check
from node.machine.control_file import read_control
from node.runtime import Node
from protocol.identity import base32_text
from tests.identities import give_identities
from tests.node.faces.fake_node import LINK
from tests.node.faces.page_offer import page_body

pytestmark = pytest.mark.real_loop


@asynccontextmanager
async def real_node(home: Path, *bootstrap: str) -> AsyncIterator[Node]:
    config = Config(listen=("127.0.0.1:0",), bootstrap=bootstrap)
    node = Node.open(home, config, Environment(), lambda _: None)
    await node.start()
    server = ControlServer(node, version="1", on_stop=lambda: None)
    await server.start()
    try:
        yield node
    finally:
        await server.close()
        await node.stop()
    assert node.defects == []


class Checked:
    """Asks a node's API and checks each answer against the route's schema."""

    def __init__(self, session: aiohttp.ClientSession, home: Path) -> None:
        control = read_control(home)
        assert control is not None
        self._session = session
        self._base = f"http://{control[0]}"
        self._headers = {"Authorization": f"Bearer {control[1]}"}
        self.asked: set[tuple[str, str]] = set()

    async def ask(
        self, method: str, path: str, body: Any = None, *, item: str = "", query: str = ""
    ) -> Any:
        route = next(one for one in ROUTES if (one.method, one.path) == (method, path))
        self.asked.add((method, path))
        url = self._base + re.sub("{[a-z_]+}", item, path) + query
        async with self._session.request(method, url, json=body, headers=self._headers) as answer:
            lines = [json.loads(one) for one in (await answer.text()).splitlines()]
            assert answer.status == 200, lines
        if route.stream_handler is None:
            check(lines[0], route.answer, COMPONENTS)
            return lines[0]
        for one in lines:
            check(one, line(route), COMPONENTS)
        return lines[-1]["result"]


async def test_every_route_of_a_real_node_answers_as_documented(tmp_path: Path) -> None:
    homes = [tmp_path / "a", tmp_path / "b"]
    give_identities(homes)
    source = tmp_path / "hats"
    source.mkdir()
    (source / "red.txt").write_text("red" * 1000)
    async with (
        real_node(homes[0]) as sharer,
        real_node(homes[1], sharer.bootstrap_addresses()[0]) as getter,
        aiohttp.ClientSession() as session,
    ):
        await asyncio.wait_for(getter.joined.wait(), 10)
        a, b = Checked(session, homes[0]), Checked(session, homes[1])
        shared = await a.ask("POST", "/v1/mods", {"path": str(source)})
        has = "?has=" + shared["link"].replace("#", "%23")
        before = await b.ask("GET", "/v1/peers")
        assert [one["has"] for one in before["peers"]] == [None]
        peers = await b.ask("GET", "/v1/peers", query=has)
        identity = await a.ask("GET", "/v1/id")
        assert [(one["peer_id"], one["has"]) for one in peers["peers"]] == [
            (identity["peer_id"], True)
        ]
        request = {"link": shared["link"], "into": str(tmp_path)}
        (source / "red.txt").unlink()
        source.rmdir()
        offer = await b.ask("POST", "/v1/offers", {"link": shared["link"]})
        assert (offer["name"], offer["bytes"]) == ("hats", shared["bytes"])
        assert offer["paths"] == sorted(offer["paths"])
        fetched = await b.ask("POST", "/v1/downloads", request)
        assert fetched["path"] == str(source)
        assert (source / "red.txt").read_text() == "red" * 1000
        assert fetched["sources"] == [identity["peer_id"]]
        await b.ask("POST", "/v1/connect", {"peer": identity["peer_id"]})
        (link,) = (await b.ask("GET", "/v1/links"))["links"]
        assert link["kept"] == [], "what was fetched holds no link any more"
        changes = await b.ask("GET", "/v1/links/changes", query="?after=0")
        assert [(one["event"], one["path"]) for one in changes["changes"]] == [("up", "direct")]
        (mod,) = (await b.ask("GET", "/v1/mods"))["mods"]
        assert (mod["name"], mod["shared"], mod["complete"]) == ("hats", False, True)
        scrubbed = await b.ask("POST", "/v1/scrubs", {})
        assert (scrubbed["blobs"] > 1, scrubbed["bad"], scrubbed["lacking"]) == (True, 0, [])
        await b.ask("POST", "/v1/pins", {"mod_id": shared["mod_id"]})
        (kept,) = (await b.ask("GET", "/v1/vault"))["mods"]
        assert (kept["pinned"], kept["in_use"], kept["shared_bytes"]) == (True, False, 0)
        assert kept["own_bytes"] > 0
        await b.ask("DELETE", "/v1/pins/{mod_id}", item=shared["mod_id"])
        refused = await b.ask("POST", "/v1/cache/refused", {"mod_id": shared["mod_id"]})
        assert not refused["changed"], "it was fetched for a person"
        cached = await b.ask("GET", "/v1/cache")
        assert (cached["budget_bytes"], cached["refused"]) == (0, [shared["mod_id"]])
        allowed = await b.ask("DELETE", "/v1/cache/refused/{mod_id}", item=shared["mod_id"])
        assert allowed["changed"]
        dropped = await b.ask("DELETE", "/v1/cache/{mod_id}", item=shared["mod_id"])
        assert not dropped["changed"]
        assert not (await b.ask("GET", "/v1/vault"))["mods"][0]["pinned"]
        await b.ask("DELETE", "/v1/mods/{mod_id}", item=shared["mod_id"])
        assert (await b.ask("GET", "/v1/mods"))["mods"] == []
        near = await b.ask("GET", "/v1/dht/lookup", query=f"?target={identity['peer_id']}")
        assert [one["peer_id"] for one in near["closest"]] == [identity["peer_id"]]
        read = await b.ask("GET", "/v1/dht/records", query=f"?target={identity['peer_id']}")
        assert [one["publisher"] for one in read["records"]] == [identity["peer_id"]]
        seen = await b.ask("POST", "/v1/dht/crawl", {})
        assert (seen["answered"], seen["size_estimate"], seen["whole"]) == (1, 1, True)
        for path in ("/v1/status", "/v1/openapi.json"):
            await b.ask("GET", path)
        network = await b.ask("GET", "/v1/network")
        assert (network["kind"], network["contacts"], network["known_nodes"]) == ("loopback", 1, 1)
        assert [one["listening"] for one in network["families"]] == [True, False]
        files = await a.ask(
            "POST", "/v1/exports", {"mod_id": shared["mod_id"], "to": str(tmp_path / "www")}
        )
        assert files["chunks"].startswith(str(tmp_path / "www"))
        told = await b.ask("POST", "/v1/origins", {"link": shared["link"]})
        assert told == {"origins": [], "agreed": False, "hidden": False}
        limited = await b.ask("POST", "/v1/limits", {})
        assert limited == await b.ask("GET", "/v1/limits")
        queued = await b.ask("POST", "/v1/downloads/queue", request | {"link": str(LINK)})
        item = str(queued["id"])
        await b.ask("GET", "/v1/downloads")
        await b.ask("POST", "/v1/downloads/{id}/resume", {}, item=item)
        rests = await b.ask("POST", "/v1/downloads/{id}/pause", {}, item=item)
        assert (rests["state"], rests["mod_id"]) == ("paused", base32_text(LINK.mod_id))
        await b.ask("DELETE", "/v1/downloads/{id}", item=item)
        assert (await b.ask("GET", "/v1/downloads"))["downloads"] == []
        await _versions(a, b, source, shared, str(tmp_path / "followed"))
        answered = await b.ask("POST", "/v1/pages", page_body(getter.identity.peer_id))
        assert answered["key"] == getter.identity.public_key.hex()
        assert await b.ask("GET", "/v1/pages/servers") == {"ice_servers": [], "expires_in_s": 3600}
        await b.ask("POST", "/v1/stop", {})
        assert a.asked | b.asked == {(one.method, one.path) for one in ROUTES}


async def _until(node: Checked, field: str, value: object) -> None:
    """Return once what is followed stands so."""
    for _ in range(20_000):
        (one,) = (await node.ask("GET", "/v1/follows"))["follows"]
        if one[field] == value:
            return
    raise TimeoutError(f"{field} is {one[field]}")


async def _versions(a: Checked, b: Checked, source: Path, shared: Any, target: str) -> None:
    """A mod that `a` shares is followed by `b`, and its keys go to `b` at the end."""
    link = {"link": shared["lineage"]}
    followed = await b.ask("POST", "/v1/follows", link | {"to": target, "max_bytes": 30_000})
    item = followed["lineage"]
    assert (followed["version"], followed["path"]) == (1, target)
    (source / "red.txt").write_text("blue" * 10_000)
    again = await a.ask("POST", "/v1/mods", {"path": str(source)})
    assert (again["version"], again["lineage"]) == (2, shared["lineage"])
    await _until(b, "status", "asks")
    await b.ask("POST", "/v1/follows/{lineage}/agree", {}, item=item)
    await _until(b, "version", 2)
    assert (Path(target) / "red.txt").read_text() == "blue" * 10_000
    listed = await b.ask("POST", "/v1/versions", link)
    assert [one["version"] for one in listed["versions"]] == [2, 1]
    back = await b.ask("POST", "/v1/follows/{lineage}/back", {}, item=item)
    assert (back["written"], back["follow"]["version"], back["follow"]["status"]) == (1, 1, "held")
    await b.ask("POST", "/v1/follows/{lineage}/resume", {}, item=item)
    await b.ask("DELETE", "/v1/follows/{lineage}", item=item)
    assert (await b.ask("GET", "/v1/follows"))["follows"] == []
    (own,) = (await a.ask("GET", "/v1/lineages"))["lineages"]
    assert (own["name"], own["version"], own["kept"]) == ("hats", 2, 0)
    kept = await a.ask("POST", "/v1/lineages/kept", {"name": "hats", "versions": 1})
    assert kept["kept"] == 1
    assert len((await a.ask("GET", "/v1/mods"))["mods"]) == 1
    exported = await a.ask("POST", "/v1/lineages/export", {"name": "hats"})
    taken = await b.ask("POST", "/v1/lineages", {"lineage": exported["lineage"]})
    assert (taken["lineage"], taken["version"]) == (item, 2)
