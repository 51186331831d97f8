"""What a node sends to addresses that an offer names, and that have proved nothing.

Who may hold them: each offer the bytes that it had. How they are won back: the attempt ends.
"""

import asyncio
from pathlib import Path

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from simulations.residents.whole import WholeResident
from simulations.seeds import derive_rng
from tests.hostile.signaling.named_victims import VICTIMS, NamedVictims, ports_of_one_victim
from tests.simulations.pair_world import Town, pair_world

PORT = 4001
WATCHED_S = 90.0


async def _named(
    town: Town, attacker: WholeResident, callee: WholeResident, attack: NamedVictims
) -> None:
    calling = asyncio.ensure_future(town.tried(attacker, callee))
    await asyncio.sleep(WATCHED_S)
    assert attack.sent, "the callee took the offer"
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)


@pytest.mark.parametrize("callee", ["public", "port-restricted", "sequential"])
async def test_one_victim_gets_four_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    """And an opener of 20 bytes from behind a router, which is to end on the way."""
    attack = NamedVictims(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        victim = Address(town.world.internet.add_host().addresses[0], PORT)
        attack.begin(attacker.host, [victim])
        await _named(town, attacker, other, attack)
        assert len(attack.checks()) == limits.ICE_CHECKS_UNPROVED == 4


@pytest.mark.parametrize("callee", ["public", "port-restricted", "sequential"])
async def test_all_victims_of_an_offer_get_no_more_bytes_than_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    attack = NamedVictims(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        hosts = [town.world.internet.add_host() for _ in range(VICTIMS)]
        named = [Address(host.addresses[0], PORT) for host in hosts]
        attack.begin(attacker.host, named)
        await _named(town, attacker, other, attack)
        sent_bytes = sum(len(data) for _, data in attack.sent)
        assert sent_bytes <= limits.SIGNAL_BYTES
        assert 6 <= len(attack.checks()) <= 11
        each = [sum(to == victim for to, _ in attack.sent) for victim in named]
        assert max(each) <= limits.ICE_CHECKS_UNPROVED + 1


@pytest.mark.parametrize("callee", ["port-restricted", "sequential"])
async def test_relays_and_witnesses_are_within_the_bytes_of_the_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    """All are the victim's: candidates, predicted ports, three relays and three witnesses."""
    attack = NamedVictims(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        named = ports_of_one_victim(town)
        rng = derive_rng(1, "keys of victims")
        contacts = tuple(
            Contact.at(
                Identity(rng.randbytes(32)).public_key, Address(named[0].host, 6000 + number)
            )
            for number in range(limits.RELAYS_NAMED + limits.WITNESSES)
        )
        attack.begin(attacker.host, named, contacts)
        await _named(town, attacker, other, attack)
        relays = [one.address for one in contacts]
        requests = [data for to, data in attack.sent if to in relays]
        assert {len(data) for data in requests} == {limits.FIRST_REQUEST_BYTES}
        assert len(requests) == 1 + limits.WITNESSES_NEEDED
        assert sum(len(data) for _, data in attack.sent) <= limits.SIGNAL_BYTES
