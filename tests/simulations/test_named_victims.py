"""9. What a node sends to addresses that an offer names, and that have proved nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.links.attempt import LinkAttempt
from node.links.path.ice import IcePath
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind
from simulations.internet import Host
from simulations.internet.carrier import Carrier
from simulations.residents.whole import WholeResident
from simulations.runtime.loop import current_host
from simulations.seeds import derive_rng
from tests.simulations.pair_world import Town, pair_world

VICTIMS = 8
COUNTS = NatReport(
    NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, False, 1), 5000, 0, 60_000
)
PORT = 4001
WATCHED_S = 90.0


class Attack:
    """Offers of one machine name the victims, and it sends no checks of its own.

    Made before the world. `sent` has what others send to victims: the address and the datagram.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[Address, bytes]] = []
        self._attacker: Host | None = None
        self._named: list[Address] = []
        self._contacts: tuple[Contact, ...] = ()
        monkeypatch.setattr(LinkAttempt, "offer", self._offered(LinkAttempt.offer))
        monkeypatch.setattr(IcePath, "describe", self._described(IcePath.describe))
        monkeypatch.setattr(IcePath, "connect", self._connecting(IcePath.connect))
        monkeypatch.setattr(Carrier, "send", self._watching(Carrier.send))

    def begin(
        self, attacker: Host, named: list[Address], contacts: tuple[Contact, ...] = ()
    ) -> None:
        """From now on; `contacts` are named as relays and witnesses, by one whose router counts."""
        self._attacker, self._named, self._contacts = attacker, named, contacts

    def _offered(self, original: Callable[..., Description]) -> Callable[..., Description]:
        def offer(attempt: LinkAttempt, *args: Any) -> Description:
            offered = original(attempt, *args)
            if current_host.get() is not self._attacker or not self._contacts:
                return offered
            return replace(
                offered,
                relays=self._contacts[: limits.RELAYS_NAMED],
                witnesses=self._contacts[-limits.WITNESSES :],
                nat=COUNTS,
            )

        return offer

    def _described(self, original: Callable[..., Description]) -> Callable[..., Description]:
        def describe(path: IcePath, *args: Any, **kwargs: Any) -> Description:
            described = original(path, *args, **kwargs)
            if current_host.get() is not self._attacker:
                return described
            candidates = [
                IceCandidate(CandidateKind.SERVER_REFLEXIVE, address) for address in self._named
            ]
            return replace(described, candidates=tuple(candidates))

        return describe

    def _connecting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def connect(path: IcePath, *args: Any, **kwargs: Any) -> None:
            if current_host.get() is self._attacker:
                await asyncio.Event().wait()
            await original(path, *args, **kwargs)

        return connect

    def _watching(self, original: Callable[..., None]) -> Callable[..., None]:
        def send(carrier: Carrier, sender: Any, data: bytes, to: Any, ttl: Any = None) -> None:
            address = Address(*to[:2])
            victims = (*self._named, *(one.address for one in self._contacts))
            if sender.host is not self._attacker and address in victims:
                self.sent.append((address, data))
            original(carrier, sender, data, to, ttl)

        return send


async def _named(
    town: Town, attacker: WholeResident, callee: WholeResident, attack: Attack
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
    attack = Attack(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        victim = Address(town.world.internet.add_host().addresses[0], PORT)
        attack.begin(attacker.host, [victim])
        await _named(town, attacker, other, attack)
        checks = [data for _, data in attack.sent if len(data) > 20]
        assert len(checks) == limits.ICE_CHECKS_UNPROVED == 4


@pytest.mark.parametrize("callee", ["public", "port-restricted", "sequential"])
async def test_all_victims_of_an_offer_get_no_more_bytes_than_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    attack = Attack(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        hosts = [town.world.internet.add_host() for _ in range(VICTIMS)]
        named = [Address(host.addresses[0], PORT) for host in hosts]
        attack.begin(attacker.host, named)
        await _named(town, attacker, other, attack)
        sent_bytes = sum(len(data) for _, data in attack.sent)
        assert sent_bytes <= limits.SIGNAL_BYTES
        assert 6 <= len([data for _, data in attack.sent if len(data) > 20]) <= 11
        each = [sum(to == victim for to, _ in attack.sent) for victim in named]
        assert max(each) <= limits.ICE_CHECKS_UNPROVED + 1


@pytest.mark.parametrize("callee", ["port-restricted", "sequential"])
async def test_relays_and_witnesses_are_within_the_bytes_of_the_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    """All are the victim's: candidates, predicted ports, three relays and three witnesses."""
    attack = Attack(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        host = town.world.internet.add_host().addresses[0]
        named = [Address(host, 5000 + number) for number in range(VICTIMS)]
        rng = derive_rng(1, "keys of victims")
        contacts = tuple(
            Contact.at(Identity(rng.randbytes(32)).public_key, Address(host, 6000 + number))
            for number in range(limits.RELAYS_NAMED + limits.WITNESSES)
        )
        attack.begin(attacker.host, named, contacts)
        await _named(town, attacker, other, attack)
        requests = [data for to, data in attack.sent if to not in named]
        assert {len(data) for data in requests} == {limits.FIRST_REQUEST_BYTES}
        assert len(requests) == 1 + limits.WITNESSES_NEEDED
        assert sum(len(data) for _, data in attack.sent) <= limits.SIGNAL_BYTES
