"""ICE: the senders that it hears, the checks that it answers, and the addresses that it uses."""

import asyncio
import random
import socket
from dataclasses import replace
from typing import Any

import pytest
from aioice import stun

from node.environment import Environment
from node.links.failure import LinkAttemptFailed
from node.links.link import Link
from node.links.path.ice import IcePath, local_addresses
from node.links.settings import LinkSettings
from protocol import limits
from protocol.addresses import Address
from protocol.causes.tried import CandidateType, CheckOutcome, TriedPair
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind, priority
from tests.node.links.link_network import (
    SETTINGS,
    frame_of,
    linked,
    network,
    until,
)

pytestmark = pytest.mark.leaves_nothing

FOUND = [
    "127.0.0.1",
    "::1",
    "fe80::1",
    "fe80::2%eth0",
    "2001:db8::7",
    "192.0.2.7",
    "192.0.2.7",
    "169.254.1.1",
    "10.0.0.3",
    "0.0.0.0",
    "not an address",
]


def environment(found: list[str]) -> Environment:
    return Environment(rng=random.Random(5), host_addresses=lambda: found, udp_socket=None)


def test_the_default_is_every_address_that_leads_anywhere() -> None:
    found = local_addresses(LinkSettings(), environment(FOUND))
    assert found == ["192.0.2.7", "10.0.0.3", "2001:db8::7"]


def test_only_the_addresses_that_were_set_are_used() -> None:
    settings = LinkSettings(ice_addresses=("127.0.0.1", "::1", "127.0.0.1"))
    assert local_addresses(settings, environment(FOUND)) == ["127.0.0.1", "::1"]


def test_a_machine_with_very_many_addresses_offers_as_many_as_fit() -> None:
    many = [f"10.0.{n}.1" for n in range(50)]
    assert len(local_addresses(LinkSettings(), environment(many))) == limits.CANDIDATES


async def test_an_address_that_cannot_be_bound_is_left_out() -> None:
    settings = LinkSettings(ice_addresses=("192.0.2.250", "127.0.0.1"))
    path = IcePath(environment([]), settings)
    await path.gather(controlling=True)
    described = path.describe(bytes(32), DtlsRole.ACTPASS)
    assert [one.address.host for one in described.candidates] == ["127.0.0.1"]
    with pytest.raises(LookupError):
        _ = path.found_path()
    await path.close()
    await path.close()


async def test_credentials_and_check_ids_come_from_the_environment() -> None:
    described = []
    for _ in range(2):
        path = IcePath(environment([]), SETTINGS)
        await path.gather(controlling=True)
        described.append(path.describe(bytes(32), DtlsRole.ACTPASS))
        agent: Any = path.agent
        described.append(agent._tie_breaker)
        pair: Any = type("Pair", (), {"component": 1})()
        described.append(agent.build_request(pair, nominate=False).transaction_id)
        await path.close()
    first, second = described[:3], described[3:]
    assert replace(first[0], candidates=()) == replace(second[0], candidates=())
    assert first[1:] == second[1:]


async def test_priorities_are_those_that_the_peer_derives() -> None:
    path = IcePath(environment([]), LinkSettings(ice_addresses=("127.0.0.1", "127.0.0.2")))
    await path.gather(controlling=True)
    found = path.agent.local_candidates
    assert [one.priority for one in found] == [priority(CandidateKind.HOST, n) for n in (0, 1)]
    await path.close()


def _address_of(link: Link) -> tuple[str, int]:
    """Where this side of a link listens."""
    agent: Any = link.channel.dtls.ice.agent  # type: ignore[attr-defined]
    candidate = agent.nominated_pair.local_candidate
    return candidate.host, candidate.port


GARBAGE = [
    b"",
    b"\x00",
    b"\x14",
    b"\x16\xfe\xfd" + bytes(10),
    b"\x15\xfe\xfd" + bytes(8) + b"\0\x02\x02\x28",  # a fatal alert in the clear
    b"\x17",
    b"\x17\xfe\xfd" + bytes(10),
    b"\x17\xfe\xfd\0\1" + bytes(5) + b"\1\0\0\x30" + bytes(48),  # a record that is not authentic
    b"\x17\xfe\xfd\0\1" + bytes(5) + b"\1\0\xff\xff" + bytes(1400),  # and one cut short
    b"\x40" + bytes(30),
    b"\x80" + bytes(30),
    b"\xff" * 1400,
    bytes(20),
    b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
    b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x24\x00\x01\x01\x00\x00\x00",
    b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
]


@pytest.mark.real_loop
async def test_unknown_senders_cannot_end_a_link_and_get_no_answer() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        agent: Any = ours.channel.dtls.ice.agent  # type: ignore[attr-defined]
        passed_on: list[bytes] = []
        pass_on = agent.dtls_received

        def note(datagram: bytes) -> None:
            passed_on.append(datagram)
            pass_on(datagram)

        agent.dtls_received = note
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            sender.setblocking(False)
            for link in (ours, theirs):
                for datagram in GARBAGE * 3:
                    sender.sendto(datagram, _address_of(link))
            ours.send(frame_of(b"after"))
            theirs.send(frame_of(b"all that"))
            await until(lambda: one.received and other.received)
            with pytest.raises(BlockingIOError):
                sender.recv(1500)
        assert not set(passed_on) & set(GARBAGE)
        assert agent.counters.refused["unknown_remote"] == 21
        assert not ours.closed.done()
        assert not theirs.closed.done()


@pytest.mark.real_loop
async def test_garbage_from_the_peers_own_address_does_not_end_a_link() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        agent: Any = theirs.channel.dtls.ice.agent  # type: ignore[attr-defined]
        raw = agent.nominated_pair.protocol.transport.get_extra_info("socket")
        for datagram in GARBAGE:
            raw.sendto(datagram, _address_of(ours))
        theirs.send(frame_of(b"after all that"))
        await until(lambda: one.received == [b"after all that"])
        ours.send(frame_of(b"indeed"))
        await until(lambda: other.received == [b"indeed"])


async def test_a_peer_cannot_add_addresses_without_bound() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        agent: Any = ours.channel.dtls.ice.agent  # type: ignore[attr-defined]
        protocol = agent.nominated_pair.protocol
        without = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        agent.check_incoming(without, ("127.0.0.1", 201), protocol)
        for port in range(1, 200):
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            request.attributes["PRIORITY"] = 1
            agent.check_incoming(request, ("127.0.0.1", port), protocol)
        assert len(agent.remote_candidates) == limits.ICE_ADDRESSES_LEARNED
        theirs.send(frame_of(b"fine"))
        await until(lambda: one.received == [b"fine"])


async def test_a_flood_waits_in_a_bounded_queue() -> None:
    path = IcePath(environment([]), SETTINGS)
    agent: Any = path.agent
    agent.data_received(b"\x80 not DTLS", 1)  # as aioice hands on what it cannot parse
    assert agent._queue.qsize() == 0
    for _ in range(limits.ICE_DATAGRAMS_WAITING + 100):
        agent.dtls_received(b"\x16")
    assert agent._queue.qsize() == limits.ICE_DATAGRAMS_WAITING
    await path.close()


async def test_no_peer_can_make_a_node_send_to_its_own_loopback() -> None:
    path = IcePath(environment([]), SETTINGS)
    await path.gather(controlling=True)
    path._addresses = ["192.0.2.7"]  # as on a machine with a network
    candidate = IceCandidate(CandidateKind.HOST, Address("127.0.0.1", 80))
    remote = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTIVE, (candidate,))
    with pytest.raises(LinkAttemptFailed, match="fits theirs"):
        await path.connect(remote)
    await path.close()


async def test_closing_right_after_a_failure_does_not_hang() -> None:
    for addresses in ((), ("127.0.0.1",)):
        path = IcePath(environment([]), LinkSettings(ice_addresses=addresses))
        await path._gatherer.gather()
        remote = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTIVE, ())
        with pytest.raises(LinkAttemptFailed):
            await path.connect(remote)
        await path.close()  # before aiortc's monitor task has taken its first step


async def test_relayed_candidates_make_a_relayed_path() -> None:
    one, other = (IcePath(environment([]), SETTINGS) for _ in range(2))
    await one.gather(controlling=True)
    await other.gather(controlling=False)
    mine = one.describe(bytes(32), DtlsRole.ACTPASS)
    (candidate,) = other.describe(bytes(32), DtlsRole.ACTIVE).candidates
    theirs = replace(
        other.describe(bytes(32), DtlsRole.ACTIVE),
        candidates=(IceCandidate(CandidateKind.RELAYED, candidate.address),),
    )
    async with asyncio.timeout(5.0):
        await asyncio.gather(one.connect(theirs), other.connect(mine))
    assert one.found_path().way == "relayed"
    assert other.found_path().way == "direct"
    assert one.found_path().remote == candidate.address
    own, host, relay = mine.candidates[0].address, CandidateType.HOST, CandidateType.RELAYED
    assert one.tried() == (TriedPair(own, host, candidate.address, relay, CheckOutcome.ANSWERED),)
    await one.close()
    await other.close()


async def test_checks_that_overtake_the_answer_settle_no_other_role() -> None:
    """The callee checks as soon as it has answered, and its answer may take longer than that."""
    for seed in range(6):  # an undecided role would lose a draw, so one time in two each
        one, other = (
            IcePath(Environment(rng=random.Random(2 * seed + side), udp_socket=None), SETTINGS)
            for side in range(2)
        )
        await one.gather(controlling=True)
        await other.gather(controlling=False)
        mine = one.describe(bytes(32), DtlsRole.ACTPASS)
        theirs = other.describe(bytes(32), DtlsRole.ACTIVE)
        async with asyncio.timeout(5.0):
            connecting = asyncio.ensure_future(other.connect(mine))
            await until(lambda agent=one.agent: agent._early_checks)  # type: ignore[misc]
            await one.connect(theirs)
            await connecting
        assert one.agent.ice_controlling
        assert not other.agent.ice_controlling
        await one.close()
        await other.close()
