"""ICE under links: which senders it hears, which checks it answers, and which ports it uses."""

import asyncio
import random
import socket
from dataclasses import replace
from typing import Any

import pytest

from node.links.failure import LinkAttemptFailed
from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.net.demux import PREFIX_BYTES
from protocol import limits
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import AlreadyOwned, Overloaded
from protocol.ice.candidates import CandidateKind
from protocol.ice.events import AddressProved, PairSelected
from protocol.ice.pairs import PairOutcome
from protocol.identity import Identity
from protocol.stun.attributes import Attribute
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun
from simulations.runtime.loop import VirtualLoop
from tests.node.links.link_network import (
    Network,
    Node,
    environment,
    frame_of,
    linked,
    network,
    open_paths,
    until,
)

pytestmark = pytest.mark.leaves_nothing

PEER = bytes(20)
FINGERPRINT = bytes(32)


async def own_paths(seed: int = 5) -> LinkPaths:
    return await open_paths(environment(random.Random(seed)))


async def pair_of(one: LinkPaths, other: LinkPaths) -> tuple[IcePath, IcePath]:
    """Two paths that have found each other."""
    ours, theirs = IcePath(one, PEER, controlling=True), IcePath(other, PEER, controlling=False)
    mine = ours.describe(FINGERPRINT, DtlsRole.ACTPASS)
    async with asyncio.timeout(5.0):
        await asyncio.gather(
            ours.connect(theirs.describe(FINGERPRINT, DtlsRole.ACTIVE)), theirs.connect(mine)
        )
    return ours, theirs


async def close(*closing: IcePath | LinkPaths) -> None:
    for one in closing:
        await (one.close() if isinstance(one, IcePath) else one.endpoint.close())


async def test_an_offer_is_ready_without_any_wait() -> None:
    paths = await own_paths()
    path = IcePath(paths, PEER, controlling=True)
    described = path.describe(FINGERPRINT, DtlsRole.ACTPASS)  # no coroutine: it cannot wait
    bound = paths.endpoint.addresses[4]
    assert described.candidates == (IceCandidate(CandidateKind.HOST, bound),)
    with pytest.raises(LookupError):
        path.found_path()
    await close(path, path, paths)


async def test_links_have_no_socket_of_their_own() -> None:
    async with network() as peers:
        hub = await peers.add()
        others = [await peers.add() for _ in range(4)]
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        host: Any = hub.port.transport.socket.host  # type: ignore[attr-defined]
        before = list(host.sockets)
        for other in others:
            await linked(hub, other)
        assert host.sockets == before
        assert len(before) == 5


async def test_twenty_links_share_one_port_on_each_side() -> None:
    """Links of one node to nodes of their own, so that each has another remote address."""
    async with network() as peers:
        hub = await peers.add()
        others = [await peers.add() for _ in range(20)]
        await asyncio.gather(*(hub.pool.connect(other.peer_id) for other in others))
        for number, other in enumerate(others):
            await until(lambda other=other: other.pool.links())  # type: ignore[misc]
            (theirs,) = other.pool.links()
            theirs.send(frame_of(b"from %d" % number))
            link = hub.pool.get(other.peer_id)
            assert link is not None
            link.send(frame_of(b"to %d" % number))
        await until(lambda: len(hub.received) == 20)
        assert sorted(hub.received) == sorted(b"from %d" % number for number in range(20))
        for number, other in enumerate(others):
            await until(lambda other=other: other.received)  # type: ignore[misc]
            assert other.received == [b"to %d" % number]


async def test_consent_checks_of_a_nodes_links_leave_together() -> None:
    """Each wakes the node at the end of a slot; the slots of another node end at other times."""
    hub = await own_paths()
    others, pairs = [], []
    for seed in range(6, 12):
        await asyncio.sleep(0.1)
        others.append(await own_paths(seed))
        pairs.append(await pair_of(hub, others[-1]))
    await asyncio.sleep(20.0)
    slot_s = 8.0 / 32
    sides = zip(*pairs, strict=True)
    ours, theirs = ([(path.agent.wake_at or 0.0) % slot_s for path in side] for side in sides)
    assert ours == pytest.approx([ours[0]] * len(pairs))
    assert max(theirs) - min(theirs) > 0.05
    for pair in pairs:
        await close(*pair)
    await close(hub, *others)


@pytest.mark.parametrize("avoids", [True, False])
async def test_a_restart_that_avoids_the_direct_path_names_and_takes_no_candidates(
    monkeypatch: pytest.MonkeyPatch, avoids: bool
) -> None:
    """Whatever the peer does: it may be one that looks for a direct path still."""
    one, other = await own_paths(), await own_paths(6)
    ours, theirs = await pair_of(one, other)
    monkeypatch.setattr(one.relays, "avoid_direct", lambda _peer: avoids)
    for path in (ours, theirs):
        path.restart()
    named = ours.describe(FINGERPRINT, DtlsRole.ACTPASS)
    assert (ours.avoids_direct, bool(named.candidates)) == (avoids, not avoids)
    theirs_named = theirs.describe(FINGERPRINT, DtlsRole.ACTIVE)
    connecting = [
        asyncio.ensure_future(ours.connect(theirs_named)),
        asyncio.ensure_future(theirs.connect(replace(named, candidates=()))),
    ]
    await asyncio.sleep(1.0)
    assert [one.done() for one in connecting] == [not avoids] * 2
    for running in connecting:
        running.cancel()
    await asyncio.wait(connecting)
    await close(ours, theirs, one, other)


async def test_credentials_and_checks_come_from_the_environment() -> None:
    described = []
    for seed in (5, 5, 6):
        paths = await own_paths(seed)
        path = IcePath(paths, PEER, controlling=True)
        own = path.describe(FINGERPRINT, DtlsRole.ACTPASS)
        path.agent.start(path._credentials, 0.0)
        path.agent.add_remote(CandidateKind.HOST, Address("127.0.0.1", 9), 0.0)
        path.agent.wake(0.0)
        ((check, _, _, _), *_) = path.agent.take().datagrams
        described.append((replace(own, candidates=()), check[8:20]))
        await close(path, paths)
    assert described[0] == described[1]
    assert described[0][0] != described[2][0]
    assert described[0][1] != described[2][1]


async def test_no_more_paths_than_a_port_has_room_for() -> None:
    paths = await own_paths()
    demux = paths.endpoint.demux
    made = [IcePath(paths, PEER, controlling=True) for _ in range(limits.STUN_OWNERS)]
    with pytest.raises(Overloaded):
        IcePath(paths, PEER, controlling=True)
    await close(*made)
    assert not demux._ufrags
    assert not demux._transactions
    await close(IcePath(paths, PEER, controlling=True), paths)


async def test_a_prefix_that_is_taken_leaves_nothing_of_a_path() -> None:
    class Constant(random.Random):
        def randbytes(self, n: int) -> bytes:
            return bytes(n) if n == PREFIX_BYTES else super().randbytes(n)

    paths = await open_paths(environment(Constant(1)))
    first = IcePath(paths, PEER, controlling=True)
    with pytest.raises(AlreadyOwned):
        IcePath(paths, PEER, controlling=True)
    assert list(paths.endpoint.demux._ufrags.values()) == [first]
    await close(first, paths)


# What arrives ---------------------------------------------------------------------------------


def _address_of(node: Node) -> Address:
    return node.paths.endpoint.addresses[4]


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
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            sender.setblocking(False)
            for node in (one, other):
                for datagram in GARBAGE * 3:
                    sender.sendto(datagram, _address_of(node))
            ours.send(frame_of(b"after"))
            theirs.send(frame_of(b"all that"))
            await until(lambda: one.received and other.received)
            with pytest.raises(BlockingIOError):
                sender.recv(1500)
        for node in (one, other):
            assert node.counters.refused["unknown_remote"] == 7 * 3
            assert node.counters.refused["empty_datagram"] == 3
        assert not ours.closed.done()
        assert not theirs.closed.done()


@pytest.mark.real_loop
async def test_garbage_from_the_peers_own_address_does_not_end_a_link() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        for datagram in GARBAGE:
            other.port.sendto(datagram, _address_of(one))
        theirs.send(frame_of(b"after all that"))
        await until(lambda: one.received == [b"after all that"])
        ours.send(frame_of(b"indeed"))
        await until(lambda: other.received == [b"indeed"])


@pytest.mark.real_loop
@pytest.mark.parametrize("number", range(len(GARBAGE)))
async def test_garbage_in_the_middle_of_the_handshake_does_not_end_it(number: int) -> None:
    if GARBAGE[number][:1] in {b"\x15", b"\x16"}:
        pytest.skip("DTLS itself believes alerts and handshakes in the clear (RFC 6347, 4.1.2.7)")
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
        while not connecting.done():
            other.port.sendto(GARBAGE[number], _address_of(one))
            one.port.sendto(GARBAGE[number], _address_of(other))
            await asyncio.sleep(0)
        assert not (await connecting).closed.done()


async def test_a_check_without_the_password_is_counted_and_changes_nothing() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, _ = await linked(one, other)
        ice: Any = ours.channel.dtls.ice  # type: ignore[attr-defined]
        name = f"{ice._credentials.ufrag}:theirs".encode()
        check = StunMessage(
            StunClass.REQUEST, StunMethod.BINDING, bytes(12), ((Attribute.USERNAME, name),)
        )
        other.port.sendto(encode_stun(check, key=b"guessed"), _address_of(one))
        await until(lambda: one.counters.refused["not_authentic"] == 1)
        assert not ours.closed.done()


async def test_records_that_come_before_the_link_takes_them_wait_with_the_handshake() -> None:
    one, other = await own_paths(1), await own_paths(2)
    ours, theirs = await pair_of(one, other)
    remote, local = other.endpoint.addresses[4], one.endpoint.addresses[4]
    handshake, record = b"\x16" + bytes(20), b"\x17" + bytes(20)

    def receive(buffer: bytes, size: int) -> None:
        one.endpoint.demux.burst_received([(buffer, size, tuple(remote))], local)

    receive(handshake, 21)
    receive(record * 2, 21)
    receive(handshake, 21)
    assert list(ours.datagrams._queue) == [handshake, record, record, handshake]
    taken: list[object] = []
    ours.carry_records(taken.append, lambda: None, lambda: None, lambda: 0)
    receive(record * 2, 21)
    assert taken == [[(record * 2, 21)]]
    await close(ours)
    receive(record, 21)
    assert len(taken) == 1
    await close(theirs, one, other)


async def test_dtls_from_an_address_that_proved_itself_waits_for_the_nomination() -> None:
    one, other = await own_paths(1), await own_paths(2)
    path = IcePath(one, PEER, controlling=True)
    local, remote = one.endpoint.addresses[4], other.endpoint.addresses[4]
    hello = b"\x16" + bytes(20)
    one.endpoint.demux.burst_received([(hello, 21, tuple(remote))], local)
    assert not path.datagrams._queue
    path._happened(AddressProved(remote, local))
    one.endpoint.demux.burst_received([(hello, 21, tuple(remote))], local)
    assert list(path.datagrams._queue) == [hello]
    await close(path)
    assert not one.endpoint.demux._expected
    await close(one, other)


@pytest.mark.parametrize(
    ("alone", "is_free", "nominated", "is_used"),
    [
        (True, True, False, True),
        (False, True, False, False),
        (True, False, False, False),
        (False, True, True, True),
    ],
)
async def test_a_pair_is_used_before_its_nomination_where_no_other_attempt_could_take_its_dtls(
    alone: bool, is_free: bool, nominated: bool, is_used: bool
) -> None:
    one, other = await own_paths(1), await own_paths(2)
    local, remote = one.endpoint.addresses[4], other.endpoint.addresses[4]
    rival = IcePath(one, bytes(19) + b"r", controlling=False)
    if not is_free:
        one.endpoint.demux.register_remote(remote, rival)
    path = IcePath(one, PEER, controlling=False, alone=alone)
    own = path.describe(FINGERPRINT, DtlsRole.ACTIVE)
    connecting = asyncio.ensure_future(path.connect(own))
    await asyncio.sleep(0)
    path.agent.add_remote(CandidateKind.HOST, remote, 0.0)
    path._happened(PairSelected(local, remote, False, nominated, None))
    await asyncio.sleep(0)
    assert connecting.done() is is_used
    await close(path, rival)
    await asyncio.gather(connecting, return_exceptions=True)
    await close(one, other)


# Pairs ----------------------------------------------------------------------------------------


async def test_no_peer_can_make_a_node_send_to_its_own_loopback() -> None:
    paths = await open_paths(environment(random.Random(1)), bound=(Address("0.0.0.0", 0),))
    paths._candidates._host_addresses = lambda: ["192.0.2.7"]
    path = IcePath(paths, PEER, controlling=True)
    path.describe(FINGERPRINT, DtlsRole.ACTPASS)
    candidate = IceCandidate(CandidateKind.HOST, Address("127.0.0.1", 80))
    remote = Description("abcd", "a" * 22, FINGERPRINT, DtlsRole.ACTIVE, (candidate,))
    with pytest.raises(LinkAttemptFailed, match=r"none of our addresses \(192.0.2.7:\d+\) fits"):
        await path.connect(remote)
    assert paths.endpoint._counters.datagrams_sent == 0
    await close(path, paths)


async def test_a_peer_without_candidates_fails_after_the_wait_for_its_checks() -> None:
    paths = await own_paths()
    path = IcePath(paths, PEER, controlling=True)
    path.describe(FINGERPRINT, DtlsRole.ACTPASS)
    remote = Description("abcd", "a" * 22, FINGERPRINT, DtlsRole.ACTIVE, ())
    with pytest.raises(LinkAttemptFailed, match=r"fits theirs \(none\)"):
        await path.connect(remote)
    await close(path, paths)


async def test_what_was_tried_has_our_address_and_an_outcome() -> None:
    one, other = await own_paths(1), await own_paths(2)
    ours, theirs = await pair_of(one, other)
    (tried,) = ours.tried()
    assert (tried.local, tried.remote) == (one.endpoint.addresses[4], other.endpoint.addresses[4])
    assert tried.outcome is PairOutcome.ANSWERED
    assert ours.found_path().way == "direct"
    assert ours.found_path().remote == theirs.found_path().local
    await close(ours, theirs, one, other)


async def test_checks_that_overtake_the_answer_settle_no_other_role() -> None:
    """The callee checks as soon as it has answered, and its answer may take longer than that."""
    for seed in range(6):
        one, other = await own_paths(2 * seed), await own_paths(2 * seed + 1)
        ours, theirs = IcePath(one, PEER, controlling=True), IcePath(other, PEER, controlling=False)
        mine = ours.describe(FINGERPRINT, DtlsRole.ACTPASS)
        answer = theirs.describe(FINGERPRINT, DtlsRole.ACTIVE)
        async with asyncio.timeout(5.0):
            connecting = asyncio.ensure_future(theirs.connect(mine))
            await asyncio.sleep(0.3)
            await asyncio.gather(ours.connect(answer), connecting)
        assert ours.agent.controlling
        assert not theirs.agent.controlling
        await close(ours, theirs, one, other)


# Two links on one address ---------------------------------------------------------------------


async def in_place_of(peers: Network, gone: Node, identity: Identity) -> Node:
    """A node on the port of one whose machine has lost power."""
    bound = _address_of(gone)
    gone.paths.endpoint.remove_port(bound)
    await gone.pool.close()
    await gone.paths.endpoint.close()
    del peers.nodes[gone.peer_id]  # no call reaches it
    fresh = await peers.add(bound=(bound,), identity=identity)
    assert _address_of(fresh) == bound
    return fresh


async def test_a_restarted_peer_links_again_at_once() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        _, stale = await linked(one, other)
        again = await in_place_of(peers, one, one.identity)
        began = asyncio.get_running_loop().time()
        link = await again.pool.connect(other.peer_id)
        await until(stale.closed.done)
        assert asyncio.get_running_loop().time() - began < 0.1
        fresh = other.pool.get(again.peer_id)
        assert fresh is not None
        assert other.pool.links() == [fresh]
        link.send(frame_of(b"back"))
        fresh.send(frame_of(b"welcome"))
        await until(lambda: other.received == [b"back"] and again.received == [b"welcome"])


async def test_an_address_goes_to_another_peer_once_the_first_has_vanished(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        _, stale = await linked(one, other)
        gone_at = _address_of(one)
        second = await in_place_of(peers, one, Identity(b"another".ljust(32)))
        with pytest.raises(LinkAttemptFailed):
            await second.pool.connect(other.peer_id)
        assert not stale.closed.done()
        assert other.pool.counts["failed_ice"] == 1
        assert Cause.ADDRESS_TAKEN.sentence in caplog.text
        ice: Any = stale.channel.dtls.ice  # type: ignore[attr-defined]
        await until(lambda: not ice.agent.has_consent, 30.0, 0.1)
        await asyncio.sleep(1.0)  # the wait before another attempt
        link = await second.pool.connect(other.peer_id)
        link.send(frame_of(b"from another"))
        await until(lambda: other.received == [b"from another"])
        await until(stale.closed.done, 30.0, 0.1)
        assert stale.closed.result() == "the peer stopped answering"
        assert stale.path.remote == gone_at, "it still tells the path that it had"
