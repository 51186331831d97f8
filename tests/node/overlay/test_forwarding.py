"""The port that a router forwards: what routers refuse, forget and do otherwise than asked."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_address

import pytest

from node.overlay.reachability.forwarding import CHECKED_S, PortForwarding
from node.overlay.reachability.port_mapping import LEASE_S
from protocol.addresses import Address
from simulations.internet import Internet, NatBehaviour
from simulations.internet.boxes.gateway import Gateway, GatewayFaults
from simulations.residents.router import find_router
from simulations.runtime.loop import VirtualLoop

PORT = 4001
OUTSIDE = "5.0.1.7"


@asynccontextmanager
async def forwarded(
    loop: VirtualLoop, faults: GatewayFaults | None = None, *, carrier: bool = False
) -> AsyncIterator[tuple[Gateway, list[Address | None], PortForwarding]]:
    """A gateway, what it forwards as the node is told, and the part of the node that asks."""
    internet = Internet(loop, 1)
    behind = internet.add_nat(NatBehaviour()) if carrier else None
    behaviour = NatBehaviour(upnp=True, gateway_faults=faults or GatewayFaults())
    addresses = None if carrier else [OUTSIDE]
    box = internet.add_nat(behaviour, addresses=addresses, behind=behind)
    host = internet.add_host(behind=box)
    told: list[Address | None] = []
    forwarding = PortForwarding(
        partial(find_router, host),
        random.Random(4),
        is_global=lambda address: ip_address(address.host).is_global,
        forwards=told.append,
    )
    running = asyncio.create_task(forwarding.run(PORT))
    await asyncio.sleep(30)
    assert box.gateway is not None
    yield box.gateway, told, forwarding
    running.cancel()
    await asyncio.wait({running})


def inside_ports(gateway: Gateway) -> dict[int, int]:
    return {one.external_port: one.inside[1] for one in gateway.mappings()}


async def test_a_port_is_forwarded_renewed_and_removed(loop: VirtualLoop) -> None:
    async with forwarded(loop) as (gateway, told, forwarding):
        for _ in range(50):
            assert inside_ports(gateway) == {PORT: PORT}
            await asyncio.sleep(LEASE_S / 10)
        assert set(told) == {Address(OUTSIDE, PORT)}
        await forwarding.remove()
        assert gateway.mappings() == []


@pytest.mark.parametrize(
    ("faults", "has_lease"),
    [
        (GatewayFaults(permanent_only=True), False),
        (GatewayFaults(leases_only=True), True),
        (GatewayFaults(answer_delay_s=2.0), True),
        (GatewayFaults(moves_renewals=True), True),
    ],
)
async def test_faults_that_cost_nothing(
    loop: VirtualLoop, faults: GatewayFaults, has_lease: bool
) -> None:
    """Errors 725 and 402; slow answers; renewals that forward to another inner port."""
    async with forwarded(loop, faults) as (gateway, told, _):
        for _ in range(30):
            assert inside_ports(gateway) == {PORT: PORT}
            (mapping,) = gateway.mappings()
            assert (mapping.expires_s is not None) is has_lease
            await asyncio.sleep(LEASE_S / 10 + 7)
        assert set(told) == {Address(OUTSIDE, PORT)}


async def test_a_port_that_is_taken_is_replaced_by_another(loop: VirtualLoop) -> None:
    """Error 718."""
    taken = GatewayFaults(taken=frozenset({PORT}))
    async with forwarded(loop, taken) as (gateway, told, _):
        ((outer, inner),) = inside_ports(gateway).items()
        assert outer != PORT == inner
        await asyncio.sleep(2 * LEASE_S)
        assert inside_ports(gateway) == {outer: PORT}, "it keeps to the one that it has"
        assert set(told) == {Address(OUTSIDE, outer)}


async def test_a_router_that_restarted_forwards_again_within_a_minute(loop: VirtualLoop) -> None:
    async with forwarded(loop) as (gateway, told, _):
        gateway.forget()
        await asyncio.sleep(CHECKED_S + 1)
        assert inside_ports(gateway) == {PORT: PORT}
        assert set(told) == {Address(OUTSIDE, PORT)}


@pytest.mark.parametrize("shown", ["192.168.7.2", "100.64.3.3", "0.0.0.0", "", "nonsense"])
async def test_an_outside_address_that_is_not_global_is_never_told(
    loop: VirtualLoop, shown: str
) -> None:
    faults = GatewayFaults(shown_address=shown or " ")
    async with forwarded(loop, faults) as (gateway, told, _):
        assert set(told) == {None}
        assert gateway.mappings() == []


async def test_behind_a_second_nat_nothing_is_told(loop: VirtualLoop) -> None:
    async with forwarded(loop, carrier=True) as (gateway, told, _):
        assert set(told) == {None}
        assert gateway.mappings() == []


async def test_an_address_that_becomes_private_is_told_no_more(loop: VirtualLoop) -> None:
    async with forwarded(loop) as (gateway, told, _):
        gateway.faults = replace(gateway.faults, shown_address="10.1.1.1")
        await asyncio.sleep(CHECKED_S + 1)
        assert told[-1] is None
        assert gateway.mappings() == []


async def test_a_silent_router_costs_nothing_but_a_search(loop: VirtualLoop) -> None:
    faults = GatewayFaults(answer_delay_s=float("inf"))
    async with forwarded(loop, faults) as (gateway, told, _):
        assert set(told) == {None}
        assert gateway.mappings() == []
