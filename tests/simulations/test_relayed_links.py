"""Links by relays, whole nodes in virtual time: who allocates where, until when, and what fails."""

import asyncio
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.links.link import Link
from node.relay.departures import Departures
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description
from protocol.ice.candidates import CandidateKind
from protocol.records import PeerBody
from protocol.turn.credentials import CredentialMaker
from protocol.turn.forwarding import RelaySend
from protocol.turn.grant import RelayGrant
from protocol.turn.terms import RelayQuota
from simulations.internet import Host
from simulations.internet.carrier import Carrier
from simulations.residents.pairs import close_link, move_in, settle
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import Talk, Town, pair_world, until

FRAME_BYTES = 15_000
POUR_S = 10.0
SECRET = b"nothing of this is readable at a relay"


def allocations(town: Town) -> int:
    return sum(one.running.relay.allocations for one in town.publics)


def used(*people: WholeResident) -> int:
    return sum(len(one.running.relay_client) for one in people)


async def test_nothing_is_allocated_where_a_direct_path_opens_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted: list[bytes] = []
    grant = CredentialMaker.grant

    def counted(maker: CredentialMaker, peer_id: bytes, *args: Any, **kwargs: Any) -> RelayGrant:
        granted.append(peer_id)
        return grant(maker, peer_id, *args, **kwargs)

    monkeypatch.setattr(CredentialMaker, "grant", counted)
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("port-restricted", "port-restricted")
        link, _ = await town.linked(one, other)
        await asyncio.sleep(5.0)
        assert link.path.way == "direct"
        assert (granted, allocations(town), used(one, other)) == ([], 0, 0)


async def test_at_the_end_every_allocation_is_released(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        link, theirs = await town.linked(one, other)
        assert link.path.way == theirs.path.way == "relayed"
        await asyncio.sleep(6.0)
        assert (allocations(town), used(one, other)) == (4, 4), "of three relays two are kept"
        await close_link(link, one, other)
        assert (allocations(town), used(one, other)) == (0, 0)
        assert not one.running_node.pool.links()


async def test_an_attempt_that_fails_leaves_no_allocation(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        calling = asyncio.ensure_future(town.tried(one, other))
        await until(lambda: allocations(town))
        town.world.internet.carrier.partition([other.host])
        assert not (await calling).linked
        await asyncio.sleep(1.0)
        assert used(one) == 0
        assert all(
            not relay.running.relay.serves(Address(box.address(), mapping.outside[1]))
            for relay in town.publics
            for box in [one.host.behind]
            if box is not None
            for mapping in box.mappings(town.world.loop.time())
        )


@pytest.mark.parametrize("after_s", [0.05, 0.1, 0.15, 0.2, 0.3])
async def test_allocations_that_come_when_the_attempt_is_over_are_released(
    tmp_path: Path, after_s: float
) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        calling = asyncio.ensure_future(town.tried(one, other))
        await until(lambda: other.running_node.pool.answering)
        await asyncio.sleep(after_s)
        (answering,) = other.running_node.pool.answering
        assert answering.task is not None
        answering.task.cancel()
        await asyncio.sleep(1.0)
        assert used(other) == 0
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


# A node that hides its address


def watch_ways(monkeypatch: pytest.MonkeyPatch) -> set[tuple[Host, Host]]:
    """From which host to which other one datagrams are delivered from now on."""
    ways: set[tuple[Host, Host]] = set()
    deliver = Carrier._deliver

    def spy(carrier: Carrier, packet: object, socket: object) -> None:
        ways.add((packet.sender.host, socket.host))  # type: ignore[attr-defined]
        deliver(carrier, packet, socket)  # type: ignore[arg-type]

    monkeypatch.setattr(Carrier, "_deliver", spy)
    return ways


def watch_plaintexts(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All descriptions and peer records that any node makes from now on."""
    told: list[bytes] = []

    def watch(kind: Any) -> None:
        encode = kind.encode

        def spy(made: Any) -> bytes:
            told.append(encode(made))
            return told[-1]

        monkeypatch.setattr(kind, "encode", spy)

    watch(Description)
    watch(PeerBody)
    return told


@pytest.mark.parametrize("hidden_calls", [True, False])
@pytest.mark.parametrize("site", ["port-restricted", "public"])
async def test_a_hidden_address_is_neither_told_nor_seen(
    tmp_path: Path, site: str, hidden_calls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair_world(tmp_path) as town:
        hidden = move_in(town.world, SITES[site])
        hidden.hides_address = True
        (other,) = await town.settled("port-restricted")
        told = watch_plaintexts(monkeypatch)
        await settle(hidden)
        await asyncio.sleep(30.0)
        ways = watch_ways(monkeypatch)
        place = hidden.host.behind or hidden.host
        hosts = (*hidden.host.addresses, *place.addresses)
        own = [ipaddress.ip_address(host).packed for host in hosts]
        pair = (hidden, other) if hidden_calls else (other, hidden)
        link, theirs = await town.linked(*pair)
        at_other = theirs if hidden_calls else link
        assert {link.path.way, theirs.path.way} == {"relayed"}
        assert at_other.path.remote.host not in hidden.host.addresses
        assert at_other.peer.families == ()
        await Talk(link, theirs).goes_on()
        await asyncio.sleep(30.0)
        assert told
        assert not [text for text in told if any(address in text for address in own)]
        stored = [record for one in town.publics for record in one.running.server.store]
        assert any(record.peer_id == hidden.identity.peer_id for record in stored)
        assert not [one for one in stored if any(address in one.raw for address in own)]
        assert (hidden.host, other.host) not in ways
        assert (other.host, hidden.host) not in ways


# 11. Relays that misbehave

Change = Callable[[bytes], bytes | None]


class Misbehaving:
    """The first relays of a town that forward anything do to it what they like."""

    def __init__(self, town: Town, count: int, change: Change, delay_s: float = 0.0) -> None:
        self.seen: list[bytes] = []
        self.bad: list[WholeResident] = []
        self._count, self._change, self._delay_s = count, change, delay_s
        for relay in town.publics:
            self._turn(relay, relay.running.relay._departures)

    def _turn(self, relay: WholeResident, departures: Departures) -> None:
        depart = departures._depart

        def misbehave(send: RelaySend) -> None:
            data = b"".join(send.parts)
            if data[0] < 0x40 and data[:2] != b"\x00\x17":
                depart(send)  # an answer of its own
                return
            self.seen.append(data)
            if relay not in self.bad and len(self.bad) < self._count:
                self.bad.append(relay)
            if relay not in self.bad:
                depart(send)
                return
            changed = self._change(data)
            if changed is not None:
                later = send._replace(parts=[changed], size=max(send.size, 1))
                asyncio.get_running_loop().call_later(self._delay_s, depart, later)

        departures._depart = misbehave


def is_check(data: bytes) -> bool:
    """Whether what is forwarded is STUN, by the first byte in a channel or an indication."""
    return data[4] < 4 if data[0] >= 0x40 else len(data) > 48 and data[48] < 4


def drop(_: bytes) -> None:
    return None


def drop_all_but_checks(data: bytes) -> bytes | None:
    return data if is_check(data) else None


def corrupt(data: bytes) -> bytes:
    return data[:-8] + bytes(byte ^ 0x55 for byte in data[-8:])


def corrupt_all_but_checks(data: bytes) -> bytes:
    return data if is_check(data) else corrupt(data)


def corrupt_all_after_the_handshake(data: bytes) -> bytes:
    """DTLS opens, and what SCTP sends is spoiled."""
    first = data[4] if data[0] >= 0x40 else data[48] if len(data) > 48 else 0
    return corrupt(data) if first == 23 else data


def truthful(data: bytes) -> bytes:
    return data


@pytest.mark.parametrize(
    ("change", "delay_s"),
    [
        (drop, 0.0),
        (drop_all_but_checks, 0.0),
        (corrupt, 0.0),
        (corrupt_all_but_checks, 0.0),
        (corrupt_all_after_the_handshake, 0.0),
        (truthful, 4.0),
    ],
)
async def test_a_link_is_made_by_another_relay_where_some_misbehave(
    tmp_path: Path, change: Change, delay_s: float
) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        relays = Misbehaving(town, 2, change, delay_s)
        link, theirs = await town.linked(one, other)
        assert len(relays.bad) == 2
        bad = {address.host for relay in relays.bad for address in relay.running.own_addresses()}
        assert relay_of(link).host not in bad
        assert link.path.way == theirs.path.way == "relayed"
        await Talk(link, theirs).goes_on()
        await asyncio.sleep(6.0)
        assert (allocations(town), used(one, other)) == (4, 4), "a second good one is kept"


async def test_a_relay_reads_nothing(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        relays = Misbehaving(town, 0, truthful)
        link, theirs = await town.linked(one, other)
        got: list[bytes] = []
        theirs.register(range(64, 96), got.append)
        link.send(b"\x92\x40\xc4" + bytes([len(SECRET)]) + SECRET)
        await until(lambda: got)
        assert SECRET in got[0]
        assert relays.seen
        assert not any(SECRET in data for data in relays.seen)
        ids = one.identity.public_key, other.identity.public_key
        assert not any(key in data for data in relays.seen for key in ids)


async def test_two_relays_of_three_that_are_silent_cost_little_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        registrars = [contact.peer_id for contact in other.running.registrations.registrars][:2]
        for relay in town.publics:
            if relay.identity.peer_id in registrars:
                # The relay alone: it still forwards calls.
                monkeypatch.setattr(relay.running.relay._turn, "receive", _silent)
        outcome = await town.tried(one, other)
        assert (outcome.way, outcome.failure) == ("relayed", "")
        assert outcome.seconds < 3.0


def _silent(*_: object) -> list[RelaySend]:
    return []


async def test_a_link_whose_relay_is_gone_goes_on_by_another(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        link, theirs = await town.linked(one, other)
        at = relay_of(link)
        (relay,) = [one for one in town.publics if at.host in one.host.addresses]
        await asyncio.sleep(limits.RELAY_KEEPALIVE_S + 0.5)  # it has just shown itself
        town.world.internet.carrier.partition([relay.host])
        talk = Talk(link, theirs)
        await talk.goes_on(2.0)
        assert relay_of(link) == relay_of(theirs) != at
        await asyncio.sleep(60.0)
        assert used(one, other) == 4, "there is a second one again"
        await talk.goes_on()


async def test_a_link_says_that_its_relay_is_gone(tmp_path: Path) -> None:
    """Where no call reaches the peer either."""
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        link, theirs = await town.linked(one, other)
        await asyncio.sleep(limits.RELAY_KEEPALIVE_S + 0.5)  # it has just shown itself
        town.world.internet.carrier.partition([relay.host for relay in town.publics])
        await asyncio.wait([link.closed, theirs.closed], timeout=60.0)
        for end in (link, theirs):
            assert end.closed.result() == "the relay of the path stopped answering"
        await asyncio.sleep(60.0)
        assert used(one, other) == 0


async def test_a_link_whose_peer_is_gone_does_not_blame_the_relay(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        link, _ = await town.linked(one, other)
        town.world.internet.carrier.partition([other.host])
        await asyncio.wait([link.closed], timeout=40.0)
        assert link.closed.result() == "the peer stopped answering"


def relay_of(link: Link) -> Address:
    """Where the relay of a link is."""
    assert link.path.local_type is CandidateKind.RELAYED
    assert link.path.relay is not None
    assert link.path.local == link.path.remote
    return link.path.local


# What one link gets of a relay's rate


async def test_a_link_gets_nearly_all_that_its_relay_allows(tmp_path: Path) -> None:
    """A relay drops what is beyond its rate, and SCTP does not collapse over it."""
    each = RelayQuota().rate_each
    async with pair_world(tmp_path) as town:
        one, other = await town.settled("symmetric", "symmetric")
        link, theirs = await town.linked(one, other)
        arrived: list[int] = []
        theirs.register(range(64, 96), lambda frame: arrived.append(len(frame)))
        frame = b"\x92\x40\xc5" + FRAME_BYTES.to_bytes(2) + bytes(FRAME_BYTES)
        until_s = town.world.loop.time() + POUR_S
        while town.world.loop.time() < until_s:
            link.send(frame)
            await link.drained()
        assert not link.closed.done()
        assert 0.85 * each < sum(arrived) / POUR_S < 1.05 * each
        refused = sum(one.running.server.counters.refused["rate_limited"] for one in town.publics)
        assert refused, "the relay was what bounded it"
