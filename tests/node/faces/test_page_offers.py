"""Who may offer a link from a web page, and what the control API says to all others."""

import json
import time
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from node.config import Config, load
from node.faces.api.gate import REQUEST_BYTES
from node.faces.api.server import ControlServer
from node.home import Home
from node.machine.control_file import read_control
from protocol.errors import BadConfig, Busy
from protocol.identity import Identity
from protocol.turn.credentials import CredentialMaker
from tests.identities import SEEDS
from tests.node.faces.fake_node import ADDRESS, FakeNode
from tests.node.faces.page_offer import LINES, page_body, sdp_of

pytestmark = pytest.mark.real_loop

ORIGIN = "https://mods.example"


class Api:
    """A control API with a permitted origin; `ask` gives status, headers and JSON of an answer."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.node = FakeNode(Home.open(folder))
        self.node.config = Config(page_origins=(ORIGIN,), **settings)
        self._server = ControlServer(self.node, version="1", on_stop=lambda: None)  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        await self._server.start()
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._server.close()
        self.node.home.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        origin: str = ORIGIN,
        token: str | None = None,
    ) -> tuple[int, Any, Any]:
        control = read_control(self.node.home.path)
        assert control is not None
        headers = {"Origin": origin} if origin else {}
        if token != "":
            headers["Authorization"] = f"Bearer {token or control[1]}"
        url = f"http://{control[0]}{path}"
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, answer.headers, json.loads(text) if text else None


async def test_a_page_of_a_permitted_origin_gets_an_answer_that_its_browser_shows(
    tmp_path: Path,
) -> None:
    async with Api(tmp_path) as api:
        status, headers, told = await api.ask("OPTIONS", "/v1/pages", token="")
        assert (status, told) == (204, None)
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "authorization" in headers["Access-Control-Allow-Headers"]
        status, headers, told = await api.ask("POST", "/v1/pages", page_body())
        assert status == 200, told
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        assert f" {ADDRESS.host} {ADDRESS.port} typ host" in told["sdp"]
        ((_, offer, of_page),) = api.node.asked
        assert of_page
        assert offer.caller_key == Identity(SEEDS[9]).public_key
        status, headers, _ = await api.ask("POST", "/v1/pages", page_body(), token="wrong")
        assert (status, headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)


@pytest.mark.parametrize("origin", ["null", "https://mods.example:444", "https://evil.example"])
@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
async def test_a_page_of_any_other_origin_gets_nothing(
    tmp_path: Path, origin: str, method: str
) -> None:
    async with Api(tmp_path) as api:
        status, headers, _ = await api.ask(method, "/v1/pages", page_body(), origin=origin)
        assert status == 403
        assert "Access-Control-Allow-Origin" not in headers
        assert api.node.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/status"), ("POST", "/v1/stop"), ("OPTIONS", "/v1/stop"), ("POST", "/v1/pagesx")],
)
async def test_a_permitted_page_with_the_token_gets_links_and_nothing_else(
    tmp_path: Path, method: str, path: str
) -> None:
    async with Api(tmp_path) as api:
        status, headers, _ = await api.ask(method, path, {})
        assert status == 403
        assert "Access-Control-Allow-Origin" not in headers
        assert api.node.asked == []


async def test_a_program_of_this_machine_may_offer_for_a_page(tmp_path: Path) -> None:
    async with Api(tmp_path) as api:
        status, headers, _ = await api.ask("POST", "/v1/pages", page_body(), origin="")
        assert status == 200
        assert "Access-Control-Allow-Origin" not in headers
        status, _, _ = await api.ask("OPTIONS", "/v1/pages", origin="")
        assert status == 405


OTHER = Identity(SEEDS[8])
LAZY = Identity(bytes(32))


@pytest.mark.parametrize(
    ("made", "changed", "said"),
    [
        ({"callee": Identity(SEEDS[1]).peer_id}, {}, "signature"),
        ({}, {"key": OTHER.public_key.hex()}, "signature"),
        ({}, {"session": "11" * 32}, "signature"),
        ({"sdp": sdp_of(*LINES).replace("x7Qz", "x7Qy")}, {}, "signature"),
        ({"sdp": sdp_of(*LINES).replace("00:01:02", "01:01:02")}, {}, "signature"),
        ({"identity": LAZY}, {}, "puzzle"),
        ({"issued": 1_700_000_000}, {}, "too old, or of the future"),
        ({"issued": 2**63}, {}, "too old, or of the future"),
        ({}, {"offer_id": "00" * 15}, "'offer_id' is not 16 bytes"),
        ({}, {"key": "zz" * 32}, "'key' is not 32 bytes"),
        ({}, {"key": " 0" * 32}, "'key' is not 32 bytes"),
        ({"sdp": "v=0\r\na=ice-lite\r\n"}, {}, "0 sections"),
        ({"sdp": "x" * 20_000}, {}, "longer than 16384"),
    ],
)
async def test_an_offer_that_is_not_the_pages_own_comes_to_nothing(
    tmp_path: Path, made: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    async with Api(tmp_path) as api:
        status, _, told = await api.ask("POST", "/v1/pages", page_body(**made) | changed)
        assert status == 400
        assert said in told["error"]["message"]
        assert api.node.asked == []


async def test_an_offer_of_a_megabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with Api(tmp_path) as api:
        status, _, told = await api.ask("POST", "/v1/pages", page_body(sdp="x" * 1_000_000))
        assert (status, told["error"]["name"]) == (413, "body_too_large")
        assert str(REQUEST_BYTES) in told["error"]["message"]


async def test_an_offer_is_good_once(tmp_path: Path) -> None:
    async with Api(tmp_path) as api:
        body = page_body()
        assert (await api.ask("POST", "/v1/pages", body))[0] == 200
        status, _, told = await api.ask("POST", "/v1/pages", body)
        assert (status, told["error"]["name"]) == (400, "bad_page_offer")
        assert "answered before" in told["error"]["message"]
        assert len(api.node.asked) == 1


async def test_a_flood_of_offers_of_one_page_is_refused_after_some(tmp_path: Path) -> None:
    async with Api(tmp_path) as api:
        statuses = [
            (await api.ask("POST", "/v1/pages", page_body(offer_id=bytes([number] * 16))))[0]
            for number in range(100)
        ]
        assert statuses == [200] * 32 + [502] * 68
        assert len(api.node.asked) == 32


async def test_a_page_is_told_when_to_ask_again(tmp_path: Path) -> None:
    async with Api(tmp_path) as api:
        api.node.pool.failure = Busy(7.0)
        status, _, told = await api.ask("POST", "/v1/pages", page_body())
        assert (status, told["error"]["details"]) == (502, {"retry_after_s": 7.0})


async def test_the_credentials_of_servers_are_those_that_a_relay_takes(tmp_path: Path) -> None:
    relays = ("192.0.2.1:4001", "[2001:db8::1]:4002", "relay.example:3478")
    async with Api(tmp_path, page_relays=relays, page_relay_secret="s") as api:
        _, _, told = await api.ask("GET", "/v1/pages/servers")
    urls = [one["urls"] for one in told["ice_servers"]]
    assert urls == [
        ["turn:192.0.2.1:4001?transport=udp"],
        ["turn:[2001:db8::1]:4002?transport=udp"],
        ["turn:relay.example:3478?transport=udp"],
    ]
    maker = CredentialMaker(bytes(32), shared_secret="s")
    username = told["ice_servers"][0]["username"]
    account = maker.account(username, ADDRESS, time.time())
    assert account is not None
    assert not account.is_peer
    late_s = told["expires_in_s"] + 1
    assert maker.account(username, ADDRESS, time.time() + late_s) is None


async def test_no_server_is_named_without_relays_of_the_settings(tmp_path: Path) -> None:
    async with Api(tmp_path) as api:
        assert (await api.ask("GET", "/v1/pages/servers"))[2]["ice_servers"] == []


@pytest.mark.parametrize(
    "line",
    [
        'page_origins = ["mods.example"]',
        'page_origins = ["https://mods.example/"]',
        'page_origins = ["https://Mods.example"]',
        'page_origins = ["null"]',
        'page_origins = ["*"]',
        'page_origins = [""]',
        f"page_origins = {[f'https://a{number}.example' for number in range(17)]}",
        'page_relays = ["192.0.2.1:4001"]',
        'page_relay_secret = "x"',
        'page_relay_secret = "x"\npage_relays = ["192.0.2.1"]',
        'page_relay_secret = "x"\npage_relays = ["192.0.2.1:0"]',
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(line)
    with pytest.raises(BadConfig):
        load(path)
