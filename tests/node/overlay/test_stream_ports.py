"""TCP ports that a router forwards for streams: with the port of UDP, and never at its cost."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address

import pytest

from node.overlay.reachability.forwarding import CHECKED_S, PortForwarding
from node.overlay.reachability.port_mapping import LEASE_S
from node.upnp.process import CONFLICT, INVALID_ARGS, ONLY_PERMANENT_LEASES, OTHER_REASON
from node.upnp.router import MappedProtocol, MappedTo, Router
from protocol.addresses import Address
from protocol.causes.network_kind import UpnpAnswer
from protocol.errors import RouterRefused
from protocol.limits import STREAM_PORT
from simulations.internet import Internet, NatBehaviour
from simulations.internet.boxes.gateway import Gateway, GatewayFaults
from simulations.residents.router import find_router
from simulations.runtime.loop import VirtualLoop

PORT = 4001
OUTSIDE = "5.0.1.7"
ALL = {("UDP", PORT): PORT, ("TCP", PORT): PORT, ("TCP", STREAM_PORT): PORT}
UDP_ALONE = {("UDP", PORT): PORT}


@dataclass
class Home:
    """A router and the node behind it that asks, at the address `host`."""

    gateway: Gateway
    host: str
    forwarding: PortForwarding
    told: list[Address | None]

    @property
    def ports(self) -> dict[tuple[str, int], int]:
        """The inside ports of this node's mappings, by protocol and outside port."""
        mine = (one for one in self.gateway.mappings() if one.inside[0] == self.host)
        return {(one.kind, one.external_port): one.inside[1] for one in mine}


@asynccontextmanager
async def home(
    loop: VirtualLoop,
    faults: GatewayFaults | None = None,
    *others: tuple[str, int, str, int],
    listens: bool = True,
    wait_s: float = 45.0,
) -> AsyncIterator[Home]:
    """`others`: mappings that were there before; `here` in them is this node's machine."""
    internet = Internet(loop, 1)
    behaviour = NatBehaviour(upnp=True, gateway_faults=faults or GatewayFaults())
    box = internet.add_nat(behaviour, addresses=[OUTSIDE])
    host = internet.add_host(behind=box)
    assert box.gateway is not None
    for kind, outer, where, inner in others:
        place = host.addresses[0] if where == "here" else where
        box.gateway.add_port_mapping(kind, outer, place, inner)
    told: list[Address | None] = []
    forwarding = PortForwarding(
        partial(find_router, host),
        random.Random(4),
        is_global=lambda address: ip_address(address.host).is_global,
        forwards=told.append,
    )
    forwarding.forward_streams(lambda port: listens and port == PORT)
    running = asyncio.create_task(forwarding.run(PORT))
    await asyncio.sleep(wait_s)
    yield Home(box.gateway, host.addresses[0], forwarding, told)
    running.cancel()
    await asyncio.wait({running})


async def test_tcp_is_forwarded_renewed_and_removed_with_udp(loop: VirtualLoop) -> None:
    async with home(loop) as one:
        for _ in range(30):
            assert one.ports == ALL
            assert one.forwarding.streams.forwarded == (PORT, STREAM_PORT)
            await asyncio.sleep(LEASE_S / 10)
        assert all(mapping.expires_s is not None for mapping in one.gateway.mappings())
        await one.forwarding.remove()
        assert one.gateway.mappings() == []
        assert one.forwarding.streams.forwarded == ()


async def test_a_node_that_takes_no_streams_asks_for_no_tcp(loop: VirtualLoop) -> None:
    async with home(loop, listens=False) as one:
        assert one.ports == UDP_ALONE


async def test_it_asks_for_no_tcp_any_more_once_it_does_not_listen(loop: VirtualLoop) -> None:
    async with home(loop) as one:
        one.forwarding.forward_streams(lambda _: False)
        await asyncio.sleep(CHECKED_S + 1)
        assert one.ports == UDP_ALONE


@pytest.mark.parametrize(
    "faults",
    [
        GatewayFaults(permanent_only=True),
        GatewayFaults(leases_only=True),
        GatewayFaults(answer_delay_s=1.0),
        GatewayFaults(moves_renewals=True),
        GatewayFaults(tcp_delay_s=3.0),
    ],
)
async def test_faults_that_cost_nothing(loop: VirtualLoop, faults: GatewayFaults) -> None:
    async with home(loop, faults) as one:
        for _ in range(30):
            assert one.ports == ALL
            await asyncio.sleep(LEASE_S / 10 + 47)
        assert set(one.told) == {Address(OUTSIDE, PORT)}


async def test_a_router_that_restarted_forwards_tcp_again_within_a_minute(
    loop: VirtualLoop,
) -> None:
    async with home(loop) as one:
        one.gateway.forget()
        await asyncio.sleep(CHECKED_S + 1)
        assert one.ports == ALL


async def test_tcp_has_the_outside_port_of_udp_where_that_is_another(loop: VirtualLoop) -> None:
    """Nodes that know this one's address by UDP dial that port."""
    async with home(loop, GatewayFaults(taken=frozenset({PORT}))) as one:
        (outside,) = set(one.told)
        assert outside is not None
        assert outside.port != PORT
        wanted = {("UDP", outside.port), ("TCP", outside.port), ("TCP", STREAM_PORT)}
        assert one.ports == dict.fromkeys(wanted, PORT)


@pytest.mark.parametrize(
    ("others", "left"),
    [
        ([("TCP", 443, "10.0.0.99", 8443)], {("UDP", PORT), ("TCP", PORT)}),
        ([("TCP", PORT, "10.0.0.99", 22)], {("UDP", PORT), ("TCP", STREAM_PORT)}),
        ([("TCP", 443, "10.0.0.99", 443), ("TCP", PORT, "10.0.0.99", 22)], {("UDP", PORT)}),
    ],
)
@pytest.mark.parametrize("overwrites", [False, True])
async def test_the_mapping_of_another_machine_is_left_alone(
    loop: VirtualLoop,
    caplog: pytest.LogCaptureFixture,
    others: list[tuple[str, int, str, int]],
    left: set[tuple[str, int]],
    overwrites: bool,
) -> None:
    """Also by a router that would take it away, and it is told once, not each minute."""
    caplog.set_level(logging.INFO)
    async with home(loop, GatewayFaults(overwrites=overwrites), *others) as one:
        await asyncio.sleep(2.5 * LEASE_S)
        assert one.ports == dict.fromkeys(left, PORT)
        there = {(m.kind, m.external_port): m.inside for m in one.gateway.mappings()}
        for kind, outer, where, inner in others:
            assert there[(kind, outer)] == (where, inner)  # type: ignore[index]
            assert "another machine's or program's" in one.forwarding.streams.refusals[outer]
        assert set(one.told) == {Address(OUTSIDE, PORT)}
        told = Counter(record.getMessage() for record in caplog.records)
        assert len(told) == len(others)
        assert set(told.values()) == {1}


@pytest.mark.parametrize("overwrites", [False, True])
async def test_the_mapping_of_another_program_of_this_machine_is_left_alone(
    loop: VirtualLoop, overwrites: bool
) -> None:
    """By standard a router overwrites the mapping of the machine that asks (WANIPConnection:1)."""
    others = (("TCP", 443, "here", 8443), ("UDP", PORT, "here", 9000))
    async with home(loop, GatewayFaults(overwrites=overwrites), *others) as one:
        await asyncio.sleep(2.5 * LEASE_S)
        assert one.ports["TCP", 443] == 8443
        assert one.ports["UDP", PORT] == 9000
        (outside,) = set(one.told)
        assert outside is not None
        assert one.ports["UDP", outside.port] == one.ports["TCP", outside.port] == PORT
        await one.forwarding.remove()
        assert one.ports == {("TCP", 443): 8443, ("UDP", PORT): 9000}


async def test_a_mapping_of_an_earlier_run_is_ours(loop: VirtualLoop) -> None:
    before = [(kind, outer, "here", inner) for (kind, outer), inner in ALL.items()]
    async with home(loop, None, *before) as one:
        assert one.ports == ALL
        assert all(mapping.expires_s is not None for mapping in one.gateway.mappings())


async def test_a_port_that_others_give_up_is_taken_later(loop: VirtualLoop) -> None:
    async with home(loop, None, ("TCP", 443, "10.0.0.99", 8443)) as one:
        one.gateway.delete_port_mapping("TCP", 443)
        await asyncio.sleep(LEASE_S)
        assert one.ports == ALL
        assert one.forwarding.streams.refusals == {}


async def test_what_another_program_took_meanwhile_is_not_removed_at_the_end(
    loop: VirtualLoop,
) -> None:
    async with home(loop, GatewayFaults(overwrites=True)) as one:
        for kind, outer in ALL:
            one.gateway.add_port_mapping(kind, outer, "10.0.0.99", 22)
        await one.forwarding.remove()
        assert len(one.gateway.mappings()) == len(ALL)


@pytest.mark.parametrize(
    ("faults", "why"),
    [
        (GatewayFaults(no_tcp=True), "error 402"),
        (GatewayFaults(tcp_taken=frozenset({PORT, STREAM_PORT})), "error 718"),
        (GatewayFaults(tcp_delay_s=60.0), "does not answer in time"),
    ],
)
async def test_a_router_that_forwards_no_tcp_forwards_udp(
    loop: VirtualLoop, faults: GatewayFaults, why: str
) -> None:
    async with home(loop, faults) as one:
        for _ in range(30):
            assert one.ports == UDP_ALONE
            assert one.forwarding.answer is UpnpAnswer.FORWARDS
            await asyncio.sleep(LEASE_S / 10)
        assert set(one.told) == {Address(OUTSIDE, PORT)}
        assert one.forwarding.streams.forwarded == ()
        refusals = one.forwarding.streams.refusals
        assert set(refusals) == {PORT, STREAM_PORT}
        assert all(why in told for told in refusals.values())
        await one.forwarding.remove()
        assert one.gateway.mappings() == []


async def test_a_router_that_falls_silent_on_tcp_keeps_nothing_at_the_end(
    loop: VirtualLoop,
) -> None:
    async with home(loop) as one:
        one.gateway.faults = replace(one.gateway.faults, tcp_delay_s=60.0)
        began = loop.time()
        await one.forwarding.remove()
        assert loop.time() - began <= 1.0
        assert ("UDP", PORT) not in one.ports, "that of UDP goes first"


async def test_what_udp_has_is_removed_right_after_a_silence_on_tcp(loop: VirtualLoop) -> None:
    """A router that was late is asked no more (its process is killed), and found again."""
    async with home(loop, GatewayFaults(tcp_delay_s=60.0), wait_s=20.0) as one:
        assert one.ports == UDP_ALONE
        await one.forwarding.remove()
        assert one.gateway.mappings() == []


async def test_a_router_that_forwards_to_other_ports_than_asked_forwards_nothing(
    loop: VirtualLoop,
) -> None:
    async with home(loop, GatewayFaults(moves_all=True)) as one:
        assert set(one.told) == {None}
        assert "otherwise than it was asked" in one.forwarding.refusal
        assert one.gateway.mappings() == []


class OddRouter:
    """Answers at random: refusals of any code, silence, success without effect, other ports.

    Once silent, it never answers again, until it is found anew.
    """

    def __init__(
        self,
        rng: random.Random,
        odd_protocols: set[MappedProtocol],
        mappings: dict[tuple[MappedProtocol, int], MappedTo],
    ) -> None:
        self._rng = rng
        self._odd = odd_protocols
        self._mappings = mappings
        self.is_silent = self.is_closed = False

    def _is_odd(self, protocol: MappedProtocol) -> bool:
        """Whether it does what it should not; raises what routers refuse by."""
        self._check_silent()
        if protocol not in self._odd or self._rng.random() < 0.3:
            return False
        code = self._rng.choice(
            (0, -1, 606, INVALID_ARGS, OTHER_REASON, CONFLICT, ONLY_PERMANENT_LEASES, None, 1, 1)
        )
        if code is None:
            self.is_silent = True
            raise TimeoutError("it does not answer in time")
        if code != 1:
            raise RouterRefused(code, self._rng.choice(("", "\x1b[31m", "x" * 200, "null")))
        return True

    def _check_silent(self) -> None:
        if self.is_silent:
            raise TimeoutError("it does not answer in time")

    async def external_address(self) -> str:
        self._check_silent()
        return OUTSIDE

    async def add_port_mapping(
        self, protocol: MappedProtocol, outer_port: int, inner_port: int, lease_s: int
    ) -> None:
        if not self._is_odd(protocol):
            self._mappings[protocol, outer_port] = MappedTo(True, inner_port)

    async def mapped(self, protocol: MappedProtocol, outer_port: int) -> MappedTo | None:
        if self._is_odd(protocol):
            port = self._rng.choice((0, -7, 65536, 2**40, PORT, outer_port))
            return self._rng.choice((None, MappedTo(False, port), MappedTo(True, port)))
        return self._mappings.get((protocol, outer_port))

    async def delete_port_mapping(self, protocol: MappedProtocol, outer_port: int) -> None:
        if not self._is_odd(protocol):
            self._mappings.pop((protocol, outer_port), None)

    async def close(self) -> None:
        self.is_silent = self.is_closed = True


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(
    "odd", [{MappedProtocol.TCP}, set(MappedProtocol)], ids=["odd by TCP", "odd by both"]
)
async def test_no_answers_of_a_router_end_the_asking_nor_cost_udp(
    loop: VirtualLoop, seed: int, odd: set[MappedProtocol]
) -> None:
    """For a day. The port of UDP stands all the time where the router is odd by TCP alone."""
    rng = random.Random(seed)
    mappings: dict[tuple[MappedProtocol, int], MappedTo] = {}
    found: list[OddRouter] = []

    async def find() -> Router | None:
        assert all(one.is_closed for one in found), "those before were closed"
        found.append(OddRouter(rng, odd, mappings))
        return found[-1]

    told: list[Address | None] = []
    forwarding = PortForwarding(
        find, random.Random(seed), is_global=lambda _: True, forwards=told.append
    )
    forwarding.forward_streams(lambda _: True)
    running = asyncio.create_task(forwarding.run(PORT))
    await asyncio.sleep(86_400.0)
    assert not running.done()
    assert len(told) >= 86_400.0 / CHECKED_S / 2
    assert len(forwarding.streams.refusals) <= 2
    if MappedProtocol.UDP not in odd:
        assert set(told) == {Address(OUTSIDE, PORT)}
        assert mappings[MappedProtocol.UDP, PORT] == MappedTo(True, PORT)
    running.cancel()
    await asyncio.wait({running})
    await forwarding.remove()
    if MappedProtocol.UDP not in odd:
        assert (MappedProtocol.UDP, PORT) not in mappings
    assert all(one.is_closed for one in found)
