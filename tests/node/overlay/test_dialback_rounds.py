"""Which dial-backs count for the node that asked for them, one rule after the other.

Each contact is the test's own, and has an accomplice that dials, in a network of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from protocol import datagrams, limits
from protocol.addresses import Address, pack_address
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Request
from protocol.reachability.host_filter import holds
from protocol.reachability.verdict import RoundOutcome
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import PORT, Resident
from tests.node.overlay.village import Village, village

COUNT = limits.DIALBACKS_VOID

Answer = list[Any] | tuple[Code, list[Any]]


@dataclass(slots=True)
class Round:
    """The node of a village asks `contacts` for dial-backs; each has one of the `dialers`."""

    village: Village
    contacts: list[RawPeer] = field(default_factory=list)
    dialers: list[asyncio.DatagramTransport] = field(default_factory=list)

    @property
    def node(self) -> Resident:
        return self.village.node

    async def socket(self) -> asyncio.DatagramTransport:
        """A socket on a host of its own."""
        host = self.village.world.internet.add_host()
        with host.running():
            transport, _ = await self.village.world.loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=(host.addresses[0], PORT)
            )
        return transport

    def dial(self, dialer: asyncio.DatagramTransport, random: bytes) -> None:
        dialer.sendto(datagrams.dialback(random), self.node.contact.address)

    async def run(self, behaviour: Callable[["Round", int, bytes], Answer]) -> RoundOutcome:
        """The outcome of a round in which the contact of each number does this."""
        for number, contact in enumerate(self.contacts):
            contact.answers[Method.DIALBACK] = partial(self._asked, behaviour, number)
        return await self.node.running.reachability._test.run(4)

    def _asked(
        self, behaviour: Callable[["Round", int, bytes], Answer], number: int, request: Request
    ) -> Answer:
        return behaviour(self, number, request.arguments[0])


@asynccontextmanager
async def settled(hosts: Sequence[str] = ("",) * COUNT) -> AsyncIterator[Round]:
    """The contacts are on these hosts."""
    async with village() as there:
        made = Round(there)
        for host in hosts:
            made.contacts.append(await there.contact(host))
            made.dialers.append(await made.socket())
        yield made


def address_of(dialer: asyncio.DatagramTransport) -> Address:
    return Address(*dialer.get_extra_info("sockname")[:2])


def named(dialer: asyncio.DatagramTransport) -> list[Any]:
    return [pack_address(address_of(dialer))]


def honest(there: Round, number: int, random: bytes) -> Answer:
    dialer = there.dialers[number]
    there.dial(dialer, random)
    return named(dialer)


def dials_twice(there: Round, number: int, random: bytes) -> Answer:
    there.dial(there.dialers[number], random)
    return honest(there, number, random)


def refuses_and_dials(there: Round, number: int, random: bytes) -> Answer:
    honest(there, number, random)
    return Code.REFUSED, named(there.dialers[number])


def names_itself(there: Round, number: int, random: bytes) -> Answer:
    contact = there.contacts[number]
    there.dial(contact.transport, random)
    return named(contact.transport)


def names_one_dialer_for_all(there: Round, _number: int, random: bytes) -> Answer:
    return honest(there, 0, random)


def names_another_than_dials(there: Round, number: int, random: bytes) -> Answer:
    there.dial(there.dialers[(number + 1) % COUNT], random)
    return named(there.dialers[number])


def names_no_global_address(there: Round, number: int, random: bytes) -> Answer:
    there.dial(there.dialers[number], random)
    return [pack_address(Address(f"10.0.{number}.1", PORT))]


def dials_with_another_random(there: Round, number: int, random: bytes) -> Answer:
    return honest(there, number, bytes(len(random)))


def does_not_dial(there: Round, number: int, _random: bytes) -> Answer:
    return named(there.dialers[number])


def dials_too_late(there: Round, number: int, random: bytes) -> Answer:
    dialer = there.dialers[number]
    late_s = 2 * limits.DIALBACK_LATE_S
    there.village.world.loop.call_later(late_s, there.dial, dialer, random)
    return named(dialer)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (honest, RoundOutcome.PUBLIC),
        (dials_twice, RoundOutcome.PUBLIC),
        (refuses_and_dials, RoundOutcome.UNDECIDED),
        (names_itself, RoundOutcome.UNDECIDED),
        (names_one_dialer_for_all, RoundOutcome.UNDECIDED),
        (names_another_than_dials, RoundOutcome.UNDECIDED),
        (names_no_global_address, RoundOutcome.UNDECIDED),
        (dials_with_another_random, RoundOutcome.NOT_PUBLIC),
        (does_not_dial, RoundOutcome.NOT_PUBLIC),
        (dials_too_late, RoundOutcome.NOT_PUBLIC),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
async def test_only_dial_backs_of_the_named_dialers_count(
    behaviour: Callable[[Round, int, bytes], Answer], outcome: RoundOutcome
) -> None:
    async with settled() as there:
        assert await there.run(behaviour) is outcome


@pytest.mark.parametrize("port", [PORT, 9])
async def test_hosts_that_were_sent_to_are_familiar(port: int) -> None:
    async with settled() as there:
        for dialer in there.dialers:
            host = address_of(dialer).host
            there.node.running.endpoint.sendto(b"\x05", Address(host, port))
        assert await there.run(honest) is RoundOutcome.NO_PORT_FILTER


@pytest.mark.parametrize("datagram", [b"\x05", datagrams.dialback(bytes(16))])
async def test_hosts_that_were_heard_from_are_familiar(datagram: bytes) -> None:
    async with settled() as there:
        for dialer in there.dialers:
            dialer.sendto(datagram, there.node.contact.address)
        await asyncio.sleep(1.0)
        assert await there.run(honest) is RoundOutcome.NO_PORT_FILTER


async def test_contacts_are_told_which_hosts_were_sent_to() -> None:
    async with settled() as there:
        familiar, other = map(address_of, there.dialers[:2])
        there.node.running.endpoint.sendto(b"\x05", familiar)
        await there.run(honest)
        requests = [one for contact in there.contacts for one in contact.requests]
        asked = [one.arguments for one in requests if one.method == Method.DIALBACK]
        assert len(asked) == COUNT == len({random for random, _ in asked})
        for random, hosts in asked:
            assert holds(hosts, familiar.host, random)
        assert not all(holds(hosts, other.host, random) for random, hosts in asked)


async def test_too_few_contacts_that_answer_decide_nothing() -> None:
    async with settled() as there:
        silent = there.contacts[0].contact
        there.node.running.server.tables.of(silent).failed(silent)
        assert await there.run(honest) is RoundOutcome.UNDECIDED
        assert not any(contact.requests for contact in there.contacts)


async def test_contacts_of_one_network_are_asked_as_one() -> None:
    async with settled([f"9.8.7.{number + 1}" for number in range(COUNT)]) as there:
        assert await there.run(honest) is RoundOutcome.UNDECIDED
        assert not any(contact.requests for contact in there.contacts)


async def test_a_contact_without_a_global_address_is_none_to_ask() -> None:
    async with settled(["9.8.7.1", "9.8.6.1", "9.8.5.1"]) as there:
        private = Contact.at(bytes(range(32)), Address("10.0.0.1", PORT))
        there.node.running.server.protocol.maintenance.answered(private)
        assert await there.run(honest) is RoundOutcome.UNDECIDED
        assert not any(contact.requests for contact in there.contacts)


async def test_a_silent_contact_is_asked_once_and_waited_for_a_while() -> None:
    async with settled() as there:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await there.village.node.running.reachability._test.run(4) is RoundOutcome.UNDECIDED
        assert loop.time() - began == pytest.approx(limits.DIALBACK_S)
        assert [len(contact.requests) for contact in there.contacts] == [1] * COUNT
