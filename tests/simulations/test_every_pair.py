"""What must hold of every pair that links, whole nodes in virtual time: boxes and their ways."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from node.links.link import Link
from protocol.ice.candidates import CandidateKind
from protocol.reachability.verdict import RoundOutcome
from simulations.internet import Hairpinning, Host, NatBehaviour
from simulations.residents.pairs import populate_publics, settle
from simulations.residents.sites import SITES, Site
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import ROUND_TRIP_S, Talk, pair_world, until

SHORT = NatBehaviour(timeout_s=30.0)
OPEN_IPV6 = Site(v4=False, v6=True)
HOUR_S = 3600.0
MINUTES_10_S = 600.0
FIRST_TRY_S = 3.0
"""More than call, ICE, DTLS and SCTP take at this round trip, and less than a second try of ICE."""


def ends_of(link: Link) -> set[CandidateKind]:
    return {link.path.local_type, link.path.remote_type}


# 1. A router without input drop is punched at the first try


@pytest.mark.parametrize(
    ("caller", "callee"),
    [
        ("linux", "linux"),
        ("linux", "port-restricted"),
        ("port-restricted", "linux"),
        ("port-restricted", "port-restricted"),
    ],
)
async def test_a_router_that_accepts_input_is_punched_at_the_first_try(
    tmp_path: Path, caller: str, callee: str
) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled(caller, callee)
        outcome = await town.tried(one, other)
        assert (outcome.way, outcome.failure) == ("direct", "")
        assert outcome.seconds < FIRST_TRY_S
        for box in (one.host.behind, other.host.behind):
            assert box is not None
            ports = {mapping.outside[1] for mapping in box.mappings(town.world.loop.time())}
            assert len(ports) == 1, "a connection of the box was moved to another port"


# 2. The same private network on both sides


@pytest.mark.parametrize("answers", ["overlay", "echo"])
async def test_another_host_with_the_peers_private_address_is_never_nominated(
    tmp_path: Path, answers: str
) -> None:
    async with pair_world(tmp_path) as town:
        internet = town.world.internet
        homes = [internet.add_nat(NatBehaviour()) for _ in range(2)]
        people = []
        for number, home in enumerate(homes):
            address = f"192.168.1.{number + 2}"
            host = internet.add_host(addresses=[address], behind=home)
            person = town.world.add(WholeResident, host=host)
            assert isinstance(person, WholeResident)
            people.append(person)
        one, other = people
        lookalike = internet.add_host(addresses=[other.host.addresses[0]], behind=homes[0])
        if answers == "overlay":
            lodger = town.world.add(WholeResident, host=lookalike)
            assert isinstance(lodger, WholeResident)
            await settle(lodger)
        else:
            await _echo(lookalike)
        await asyncio.gather(*map(settle, people))
        link, theirs = await town.linked(one, other)
        assert link.path.way == "direct"
        assert link.path.remote.host == homes[1].address()
        await Talk(link, theirs).goes_on()


class _Echo(asyncio.DatagramProtocol):
    """Sends everything back as it came, each Binding request as a success as well."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)
        self.transport.sendto(b"\x01\x01" + data[2:], addr)


async def _echo(host: Host) -> None:
    loop = asyncio.get_running_loop()
    with host.running():
        await loop.create_datagram_endpoint(_Echo, local_addr=(host.addresses[0], 4001))


# 3. Both behind one router


@pytest.mark.parametrize("hairpinning", Hairpinning)
async def test_two_behind_one_router_link_inside_it(
    tmp_path: Path, hairpinning: Hairpinning
) -> None:
    async with pair_world(tmp_path) as town:
        home = town.world.internet.add_nat(NatBehaviour(hairpinning=hairpinning))
        one, other = await town.settled("port-restricted", "port-restricted", behind=home)
        link, theirs = await town.linked(one, other)
        assert link.path.way == "direct"
        assert link.path.remote.host == other.host.addresses[0]
        assert theirs.path.remote.host == one.host.addresses[0]
        assert await Talk(link, theirs).goes_on() < ROUND_TRIP_S / 2


async def test_a_hairpin_that_shows_the_inner_source_makes_a_peer_reflexive_pair(
    tmp_path: Path,
) -> None:
    """Each home's router must admit a source that its own checks never went to, so it filters by
    nothing: behind one that filters by address there is only a relay.
    """
    async with pair_world(tmp_path) as town:
        carrier = town.world.internet.add_nat(NatBehaviour(hairpinning=Hairpinning.INSIDE_SOURCE))
        full_cone = SITES["full-cone"].boxes[0]
        homes = [town.world.internet.add_nat(full_cone, behind=carrier) for _ in range(2)]
        (one,) = await town.settled("full-cone", behind=homes[0])
        (other,) = await town.settled("full-cone", behind=homes[1])
        link, theirs = await town.linked(one, other)
        assert link.path.way == "direct"
        assert CandidateKind.PEER_REFLEXIVE in ends_of(link) | ends_of(theirs)
        await Talk(link, theirs).goes_on()


# 4. Mappings of 30 s


async def test_an_idle_link_lives_for_ten_minutes_behind_mappings_of_30_s(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled(Site((SHORT,)), Site((SHORT,)))
        link, theirs = await town.linked(one, other)
        talk = Talk(link, theirs)
        for _ in range(3):  # an idle link would be closed after five minutes
            await asyncio.sleep(MINUTES_10_S / 3)
            assert not link.closed.done()
            assert await talk.goes_on() < 2 * ROUND_TRIP_S


async def test_an_idle_allocation_lives_for_ten_minutes_behind_mappings_of_30_s(
    tmp_path: Path,
) -> None:
    async with pair_world(tmp_path) as town:
        symmetric = Site((replace(SITES["symmetric"].boxes[0], timeout_s=30.0),))
        one, other = await town.settled(symmetric, symmetric)
        link, theirs = await town.linked(one, other)
        assert link.path.way == "relayed"
        talk = Talk(link, theirs)
        for _ in range(3):
            await asyncio.sleep(MINUTES_10_S / 3)
            assert not link.closed.done()
            assert await talk.goes_on() < 5 * ROUND_TRIP_S


# 5. Suspended for an hour


@pytest.mark.parametrize("sleeper_calls", [True, False])
@pytest.mark.parametrize("site", ["public", "port-restricted"])
async def test_after_an_hour_of_sleep_a_link_opens_5_s_after_waking(
    tmp_path: Path, site: str, sleeper_calls: bool
) -> None:
    async with pair_world(tmp_path) as town:
        one, sleeper = await town.settled(site, site)
        await town.linked(one, sleeper)
        sleeper.host.sleep()
        await asyncio.sleep(HOUR_S)
        assert one.running_node.pool.get(sleeper.identity.peer_id) is None
        sleeper.host.wake()
        await asyncio.sleep(5.0)
        pair = (sleeper, one) if sleeper_calls else (one, sleeper)
        link, theirs = await town.linked(*pair)
        await Talk(link, theirs).goes_on()


# 6, 7. Families


@pytest.mark.parametrize("callee", ["ipv6", "port-restricted", "public"])
async def test_ipv6_only_and_ipv4_only_link_through_a_relay_with_both(
    tmp_path: Path, callee: str
) -> None:
    async with pair_world(tmp_path, v6=True) as town:
        caller = "port-restricted" if callee == "ipv6" else "ipv6"
        one, other = await town.settled(caller, callee)
        link, theirs = await town.linked(one, other)
        assert link.path.way == "relayed"
        await Talk(link, theirs).goes_on()


@pytest.mark.parametrize("callee", ["ipv6", "port-restricted", "public"])
async def test_of_many_relays_one_with_both_families_is_found(tmp_path: Path, callee: str) -> None:
    """Those that keep the callee registered and answer the caller have both; they come first."""
    async with pair_world(tmp_path, publics=4, v6=True) as town:
        town.publics += await populate_publics(town.world, 12)
        caller = "port-restricted" if callee == "ipv6" else "ipv6"
        one, other = await town.settled(caller, callee)
        link, theirs = await town.linked(one, other)
        assert link.path.way == "relayed"
        await Talk(link, theirs).goes_on()


@pytest.mark.parametrize(
    ("caller", "callee"), [("ipv6", "full-cone"), ("port-restricted", OPEN_IPV6)]
)
async def test_a_peer_of_one_family_that_is_public_links_with_those_of_the_other(
    tmp_path: Path, caller: str, callee: str | Site
) -> None:
    """It is registered nowhere, as the calls of its own family reach it unasked."""
    async with pair_world(tmp_path, publics=4, v6=True) as town:
        town.publics += await populate_publics(town.world, 12)
        one, other = await town.settled(caller, callee)
        network = other.running.own_network
        for family in network.view().families:
            network.tested(family, RoundOutcome.PUBLIC)
        await asyncio.sleep(MINUTES_10_S)
        assert not other.running.registrations.registrars
        link, theirs = await town.linked(one, other)
        assert link.path.way == "relayed"
        await Talk(link, theirs).goes_on()


@pytest.mark.parametrize("has_both", [True, False])
@pytest.mark.parametrize("it_calls", [True, False])
async def test_behind_nat64_peers_of_ipv4_alone_are_reached_directly(
    tmp_path: Path, has_both: bool, it_calls: bool
) -> None:
    """Also in an overlay of IPv4 alone, where every contact is behind the translation."""
    async with pair_world(tmp_path, v6=has_both) as town:
        here, there = await town.settled("nat64", "port-restricted")
        pair = (here, there) if it_calls else (there, here)
        link, theirs = await town.linked(*pair)
        assert link.path.way == "direct"
        ours = link if it_calls else theirs
        assert there.host.behind is not None
        assert ours.path.remote.host == there.host.behind.address()
        await Talk(link, theirs).goes_on()


# 14. Both call at once


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("later_s", [0.0, 0.05, 0.1, 0.15, 0.2])
async def test_both_call_at_once_and_get_one_link(
    tmp_path: Path, later_s: float, first: int
) -> None:
    """The offer of one side meets the other's lookup, its offer, or the link that is being made."""
    async with pair_world(tmp_path) as town:
        pair = await town.settled("port-restricted", "port-restricted")
        ids = [one.identity.peer_id for one in reversed(pair)]

        async def call(number: int) -> Link:
            await asyncio.sleep(later_s * (number != first))
            with pair[number].host.running():
                return await pair[number].running_node.pool.connect(ids[number])

        await asyncio.gather(call(0), call(1))
        pools = [one.running_node.pool for one in pair]
        await until(lambda: not any(pool.connecting or pool.answering for pool in pools))
        await asyncio.sleep(1.0)
        (ours,), (theirs,) = (pool.links() for pool in pools)
        assert {ours.direction, theirs.direction} == {"outgoing", "incoming"}
        await Talk(ours, theirs).goes_on()


# What a box forgets or gives otherwise while a link is open (part 3)


@pytest.mark.parametrize(
    ("filtering_peer", "gap_s"),
    [
        ("full-cone", 3 * ROUND_TRIP_S + 0.2),
        ("port-restricted", 1.5),
    ],
)
async def test_a_mapping_that_is_lost_every_minute_costs_a_short_gap(
    tmp_path: Path, filtering_peer: str, gap_s: float
) -> None:
    lossy = NatBehaviour(ports=SITES["symmetric"].boxes[0].ports, lifetime_s=60.0)
    async with pair_world(tmp_path) as town:
        one, other = await town.settled(Site((lossy,)), filtering_peer)
        link, theirs = await town.linked(one, other)
        talk, longest = Talk(link, theirs), 0.0
        for _ in range(600):
            longest = max(longest, await talk.goes_on())
            await asyncio.sleep(0.25)
        assert not link.closed.done()
        assert longest <= gap_s + ROUND_TRIP_S / 2


@pytest.mark.parametrize("mover_calls", [True, False])
@pytest.mark.parametrize("site", ["public", "port-restricted"])
@pytest.mark.parametrize("stays_home", [True, False])
async def test_five_seconds_after_its_address_changed_a_machine_links(
    tmp_path: Path, site: str, mover_calls: bool, stays_home: bool
) -> None:
    """Of its own network alone, as by DHCP, or of another box as well."""
    async with pair_world(tmp_path) as town:
        internet = town.world.internet
        one, mover = await town.settled("port-restricted", site)
        home = mover.host.behind
        if home is not None and not stays_home:
            home = internet.add_nat(NatBehaviour())
        before = mover.host.addresses
        internet.move(mover.host, behind=home)
        assert mover.host.addresses != before
        await asyncio.sleep(5.0)
        pair = (mover, one) if mover_calls else (one, mover)
        link, theirs = await town.linked(*pair)
        assert link.path.way == "direct"
        await Talk(link, theirs).goes_on()


async def test_a_machine_that_moves_to_another_network_goes_on_linking(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        internet = town.world.internet
        one, other = await town.settled("port-restricted", "port-restricted")
        await town.linked(one, other)
        internet.move(other.host, behind=internet.add_nat(NatBehaviour()))
        await asyncio.sleep(30.0)
        link, theirs = await town.linked(one, other)
        await Talk(link, theirs).goes_on()
