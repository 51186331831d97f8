"""What bad clients, and a bad gateway, cannot do; over simulated TCP."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from node.counters import Counters
from node.net.endpoint import Endpoint
from node.streams.connection import StreamConnection
from protocol import limits
from protocol.addresses import Address
from protocol.errors import LinkClosed, StreamFailed
from protocol.places.tenure import PlaceRule
from protocol.streams.framing import frames_of
from protocol.streams.handshake import NONCE_BYTES, hello
from tests.node.streams.stream_world import BY_STREAM, USEFUL, scene


async def test_no_network_nor_all_of_them_take_the_places_of_useful_peers(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        add = one.internet.add_host
        useful = [one.client(add(addresses=[f"91.{number}.0.1"])) for number in range(40)]
        for client in useful:
            one.worth[client.identity.peer_id] = USEFUL
        crowd = [one.client(add(addresses=[f"92.0.0.{number}"])) for number in range(1, 21)]
        for client in crowd:
            with contextlib.suppress(StreamFailed):
                await client.dial()
        many = [one.client(add(addresses=[f"93.{number}.0.1"])) for number in range(80)]
        for client in many:
            with contextlib.suppress(StreamFailed):
                await client.dial()
        await asyncio.sleep(limits.STREAM_TENURE_S)
        for client in useful:
            await client.dial()
        await asyncio.sleep(limits.STREAM_TENURE_S)
        for client in (*crowd, *many):
            with contextlib.suppress(StreamFailed):
                await client.dial()
        assert one.gateway.served <= limits.STREAMS
        assert [client.ended for client in useful] == [0] * len(useful)
        for client in (*useful, *crowd, *many):
            client.close()
        await asyncio.sleep(1.0)
        assert one.gateway.served == 0


async def test_no_place_is_kept_by_coming_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new stream would begin its tenure anew, so no other peer had a turn."""
    rule = PlaceRule(3, for_newcomers=1, for_own=0, per_network=3)
    monkeypatch.setattr("node.streams.gateway._RULE", rule)
    async with scene(tmp_path) as one:
        add = one.internet.add_host
        crowd = [one.client(add(addresses=[f"92.{number}.0.1"])) for number in range(3)]
        for _ in range(4):
            for client in crowd:
                client.close()
                await client.dial()
            await asyncio.sleep(0.8 * limits.STREAM_TENURE_S)
        friend, other = one.client(), one.client()
        one.worth[friend.identity.peer_id] = USEFUL
        for client in (friend, other):
            for attacker in crowd:
                attacker.close()
                with contextlib.suppress(StreamFailed):
                    await attacker.dial()
            await client.dial()
        assert friend.ended == other.ended == 0
        for client in (*crowd, friend, other):
            client.close()


@pytest.mark.parametrize("host", ["192.168.1.1", "127.0.0.1", "64:ff9b::a00:1"])
async def test_a_gateway_of_the_internet_brings_nothing_of_a_private_address(
    tmp_path: Path, host: str
) -> None:
    """An answer would leave to it by UDP, within the network that the gateway is not in."""
    async with scene(tmp_path) as one:
        client, read = one.client(), []
        client.endpoint.demux.register_reader(0xD0, lambda _, source: read.append(source))
        await client.dial()
        (served,) = one.gateway._served.values()
        assert served._port is not None
        far = Address("91.1.2.3", 4001)
        for source in (Address(host, 4001), far):
            served._port.send_framed(BY_STREAM, len(BY_STREAM), source)
        await asyncio.sleep(1.0)
        assert read == [far]
        client.close()
        await asyncio.sleep(1.0)


async def test_a_stream_hears_nothing_that_is_for_another_node_at_its_address(
    tmp_path: Path,
) -> None:
    """Behind one NAT the port of one's TCP may be that of another's UDP, and be chosen so."""
    async with scene(tmp_path) as one:
        client, heard = one.client(), []
        await client.dial()
        (served,) = one.gateway._served.values()
        client.endpoint.demux.register_reader(0xD0, lambda *told: heard.append(told))
        with client.host.running():
            victim, answers = Endpoint(Counters(), one.environment({})), []
            await victim.open(served.client)
        victim.demux.register_reader(0xD0, lambda data, _: answers.append(data))
        victim.sendto(BY_STREAM, one.address)
        await asyncio.sleep(1.0)
        assert one.read == [BY_STREAM]
        one.endpoint.sendto(b"\xd0 answer", served.client)
        await asyncio.sleep(1.0)
        assert answers == [b"\xd0 answer"]
        assert not heard
        assert one.gateway.served == 0
        await client.dial()
        assert client.ended == 1, "by another port it has a stream again"
        client.close()
        await victim.close()


async def test_no_stream_comes_from_the_address_of_a_contact(tmp_path: Path) -> None:
    """What is for the contact would go by the stream, and the contact be given up as silent."""
    async with scene(tmp_path) as one:
        client = one.client()
        await client.dial()
        (served,) = one.gateway._served.values()
        client.close()
        await asyncio.sleep(1.0)
        host, port = served.client
        one.contacts = frozenset({Address(host, port + 1)})
        with pytest.raises(StreamFailed):
            await client.dial()
        assert one.gateway.served == 0
        assert one.counters.refused["not_permitted"] == 1
        await client.dial()
        assert one.gateway.served == 1, "from the next port"
        client.close()
        await asyncio.sleep(1.0)


@pytest.mark.parametrize("named", [["h2"], []])
async def test_who_speaks_another_protocol_within_tls_gets_no_answer(
    tmp_path: Path, named: list[str]
) -> None:
    async with scene(tmp_path) as one:
        connection = StreamConnection()
        with one.internet.add_host().running():
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: connection, *one.address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if named:
            context.set_alpn_protocols(named)
        await connection.start_tls(context, server_side=False)
        connection.send(hello(bytes(NONCE_BYTES)))
        with pytest.raises(LinkClosed):
            await connection.take(1)
        assert one.counters.refused["not_authentic"] == 1
        connection.abort()


async def test_small_frames_wait_at_who_sends_them(tmp_path: Path) -> None:
    """A socket brings 65000 at once: the node would stand still for all that they are read."""
    small = frames_of(b"\xd0", 1, None)
    async with scene(tmp_path) as one:
        flooding, honest = one.client(), one.client()
        for client in (flooding, honest):
            await client.dial()
        (stream,) = flooding.streams.all()
        with flooding.host.running():
            stream.port._connection.send(small * 50_000)
        await asyncio.sleep(1.0)
        read = len(one.read)
        assert read > 0.5 * limits.STREAM_FRAMES_PER_SECOND
        assert read <= limits.STREAM_FRAMES_PER_SECOND + limits.STREAM_FRAMES_BURST
        honest.endpoint.sendto(BY_STREAM, one.address)
        await asyncio.sleep(0.2)
        assert BY_STREAM in one.read
        await asyncio.sleep(3.0)
        assert len(one.read) == 50_001, "nothing is lost"
        for client in (flooding, honest):
            client.close()
        await asyncio.sleep(1.0)


async def test_answers_of_tls_that_are_never_read_end_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer may ask for new keys (RFC 8446, 4.6.3) without end: no bound of ours sees it."""
    async with scene(tmp_path) as one:
        client = one.client()
        await client.dial()
        await asyncio.sleep(2 * limits.STREAM_ASKED_S)
        (served,) = one.gateway._served.values()
        waiting = 2 * limits.STREAM_QUEUE_BYTES + 1
        monkeypatch.setattr(
            StreamConnection,
            "waiting_bytes",
            property(lambda one: waiting if one is served._connection else 0),
        )
        await asyncio.sleep(limits.STREAM_ASKED_S + 1.0)
        assert one.gateway.served == 0
        assert client.ended == 1
