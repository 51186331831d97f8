"""Whom requests reach: what strangers name is checked where it is connected to."""

import asyncio
import datetime as dt
import ipaddress
import random
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.content.origins.client import OriginClient, environment_proxy
from node.content.origins.connections import Asker
from node.content.origins.consent import OriginConsent
from node.content.origins.origins import NamedBy, NamedOrigin, Origins
from protocol.content.origins.connection_turns import TurnShare
from protocol.errors import BadAnswer, NoSources, OriginFailed
from tests.node.content.origins.origin_worlds import by_link, closing, origin_world
from tests.node.content.origins.web_server import Manner, Request, web_server

pytestmark = pytest.mark.real_loop


def looking_up(
    *answers: list[str],
) -> tuple[Callable[[str, int], asyncio.Future[list[str]]], list[str]]:
    """A LookUp that answers so, the last for ever, and the names that it was asked for."""
    asked: list[str] = []

    def look_up(host: str, port: int) -> asyncio.Future[list[str]]:
        del port
        done: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        done.set_result(answers[min(len(asked), len(answers) - 1)])
        asked.append(host)
        return done

    return look_up, asked


def no_proxy(_scheme: str, _host: str) -> None:
    return None


async def failure(client: OriginClient, url: str, *, trusted: bool = False) -> str:
    try:
        with pytest.raises((OriginFailed, BadAnswer)) as failed:
            async with client.get(url, Asker(TurnShare()), trusted=trusted):
                pass
        return str(failed.value)
    finally:
        await client.close()


@pytest.mark.parametrize(
    "literal",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[fd00::1]"),
        *("[2002:7f00:1::1]", "[::]", "[ff02::1]", "[fe80::1]"),
    ],
)
async def test_no_private_address_that_a_stranger_names_is_connected_to(literal: str) -> None:
    async with web_server({}) as server:
        told = await failure(OriginClient(find_proxy=no_proxy), f"http://{literal}:{server.port}/x")
        assert "config.toml" in told
        assert server.connections == 0


@pytest.mark.parametrize("number", ["2130706433", "0x7f000001", "017700000001", "127.1"])
async def test_no_other_spelling_of_an_address_helps(number: str) -> None:
    async with web_server({}) as server:
        await failure(OriginClient(find_proxy=no_proxy), f"http://{number}:{server.port}/x")
        assert server.connections == 0


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to() -> None:
    async with web_server({}) as server:
        look_up, asked = looking_up(["127.0.0.1", "::1"])
        told = await failure(OriginClient(look_up, no_proxy), f"http://evil.example:{server.port}/")
        assert "evil.example" in told
        assert "this machine" in told
        assert asked == ["evil.example"]
        assert server.connections == 0


async def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to() -> None:
    """The first answer is public and dead, later ones are private: as a rebinding name has it."""
    async with web_server({}) as server:
        look_up, asked = looking_up(["192.0.2.1", "127.0.0.1"], ["127.0.0.1"])
        client = OriginClient(look_up, no_proxy)
        url = f"http://rebinding.example:{server.port}/"
        assert "documents" in await failure(client, url)
        assert asked == ["rebinding.example"]
        look_up, asked = looking_up(["255.255.255.255", "127.0.0.1"])
        await failure(OriginClient(look_up, no_proxy), url)
        assert server.connections == 0


@pytest.mark.parametrize("host", ["1.1.1.1", "[2606:4700:0:1::9]", "evil.example"])
async def test_no_address_of_the_own_network_is_connected_to(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is known of it when it is connected to."""
    made: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *_: made.append(_))
    own: list[str] = []
    look_up, _ = looking_up(["1.1.1.1"])
    client = OriginClient(look_up, no_proxy, own_hosts=lambda: own)
    own += ["1.1.1.1", "2606:4700:0:1::5"]
    told = await failure(client, f"http://{host}:8080/x")
    assert "is an address of this machine's own network" in told
    assert not made


async def test_a_redirect_of_our_own_server_leads_to_no_other_private_one() -> None:
    async with web_server({"x": b"secret"}) as inside:

        async def redirect(request: Request) -> None:
            await request.send("302 Found", b"", f"Location: http://127.0.0.2:{inside.port}/x")

        async with web_server({}, redirect) as server:
            told = await failure(OriginClient(find_proxy=no_proxy), f"{server.url}/x", trusted=True)
            assert "127.0.0.2 is an address of this machine" in told
            assert inside.connections == 0


@pytest.mark.parametrize("port", [0, 25])
async def test_a_redirect_leads_to_no_port_of_another_service(port: int) -> None:
    """Not even at the same host."""

    async def redirect(request: Request) -> None:
        await request.send("302 Found", b"", f"Location: http://127.0.0.1:{port}/x")

    async with web_server({}, redirect) as server:
        client = OriginClient(find_proxy=no_proxy)
        told = await failure(client, f"{server.url}/x", trusted=True)
        assert f"redirects to port {port}" in told


@pytest.mark.parametrize("location", ["http://127.0.0.1/", "//127.0.0.1/x", "/x"])
async def test_https_never_becomes_http(location: str, tmp_path: Path) -> None:
    async def redirect(request: Request) -> None:
        await request.send("302 Found", b"", f"Location: {location}")

    server_tls, client_tls = certificates(tmp_path)
    async with web_server({}, redirect, ssl=server_tls) as server:
        client = OriginClient(find_proxy=no_proxy, tls=client_tls)
        told = await failure(client, f"{server.url}/x", trusted=True)
        assert ("from https to http" in told) is location.startswith("http:")


async def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    server_tls, client_tls = certificates(tmp_path)
    async with origin_world(tmp_path) as world, web_server(world.files, ssl=server_tls) as server:
        async with closing(world.origins(server.url)) as origins:
            with pytest.raises(NoSources, match="certificate is not trusted"):
                await world.get(origins)
        client = OriginClient(find_proxy=no_proxy, tls=client_tls)
        async with closing(world.origins(server.url, client=client)) as origins:
            await world.get(origins)


async def test_a_server_without_tls_is_named() -> None:
    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        assert "TLS" in await failure(OriginClient(find_proxy=no_proxy), url, trusted=True)


async def test_a_port_where_nothing_listens_is_named() -> None:
    async with web_server({}) as server:
        url = server.url
    told = await failure(OriginClient(find_proxy=no_proxy), url, trusted=True)
    assert "no connection to it" in told


# Proxies ----------------------------------------------------------------------------------


async def test_a_proxy_is_used_for_our_own_origins_and_for_no_other(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world, web_server(world.files) as proxy:
        url = "http://mods.example/files"
        look_up, asked = looking_up(["192.0.2.1"])

        def client() -> OriginClient:
            return OriginClient(look_up, lambda *_: proxy.url)

        async with closing(world.origins(url, client=client())) as origins:
            await world.get(origins)
        assert asked == []
        assert {one.path.rpartition("/")[0] for one in proxy.requests} == {url}
        before = len(proxy.requests)
        assert "config.toml" in await failure(client(), "http://mods.example/x")
        assert len(proxy.requests) == before


async def refuses(request: Request) -> None:
    await request.send("403 No")


async def wants_a_password(request: Request) -> None:
    await request.send("407 No", b"", "Proxy-Authenticate: Basic")


@pytest.mark.parametrize(
    ("manner", "why"), [(refuses, "it is refused (403)"), (wants_a_password, "a password is asked")]
)
async def test_what_a_proxy_refuses_is_told_as_its_word(manner: Manner, why: str) -> None:
    async with web_server({}, manner) as proxy:
        client = OriginClient(find_proxy=lambda *_: f"http://ann:secret@127.0.0.1:{proxy.port}")
        told = await failure(client, "https://mods.example/x", trusted=True)
        assert why in told
        assert "by the proxy 127.0.0.1 of this system" in told
        assert "secret" not in told


@pytest.mark.parametrize(
    "named", ["socks5://ann:secret@127.0.0.1:1", "http://:80", "::::", "http://127.0.0.1:99999"]
)
async def test_a_proxy_that_is_none_is_told_without_its_password(named: str) -> None:
    client = OriginClient(find_proxy=lambda *_: named)
    told = await failure(client, "http://mods.example/x", trusted=True)
    assert told == "this system names a proxy that is not of the form http://HOST:PORT"


def test_the_environment_names_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert environment_proxy("http", "mods.example") is None
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intern.example")
    assert environment_proxy("http", "mods.example") == "http://proxy.example:3128"
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    assert environment_proxy("http", "mods.example") == "http://proxy.example:3128"
    assert environment_proxy("https", "mods.example") is None
    assert environment_proxy("http", "intern.example") is None


# Consent ----------------------------------------------------------------------------------


async def test_no_request_leaves_for_what_a_stranger_named_without_a_yes(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world, web_server(world.files) as server:
        named = by_link(world, server.url)
        _, theirs = world.holder.connect(world.getter)
        exchange = world.getter.exchanges.attach(theirs)
        origins = world.origins()
        async with closing(origins):
            done = await world.get(origins, exchange, named=[named])
        assert set(done.bytes_from) == {exchange.name}
        assert server.connections == 0


def test_a_yes_is_for_the_mod_and_its_origins_and_for_no_hidden_node(tmp_path: Path) -> None:
    consent = OriginConsent(tmp_path / "origins.json")
    one, other = "https://a.example", "https://b.example"
    consent.remember(bytes(32), (one,), agreed=True)

    def asked(*, hidden: bool, configured: tuple[str, ...] = ()) -> list[str]:
        made = Origins(OriginClient(), consent, random.Random(1), configured, hidden=hidden)
        named = [
            NamedOrigin(one, NamedBy.LINK, bytes(32)),
            NamedOrigin(other, NamedBy.LINEAGE, bytes(32)),
            NamedOrigin(other, NamedBy.LINK, bytes([1]) * 32),
        ]
        return [source.name for source in made.sources(named)]

    assert asked(hidden=False) == [one]
    assert asked(hidden=True) == []
    assert asked(hidden=False, configured=(other, one)) == [other, one]


# Certificates -----------------------------------------------------------------------------


def certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server of 127.0.0.1 that signed its own certificate, and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, secret)
    return server, ssl.create_default_context(cafile=str(pem))
