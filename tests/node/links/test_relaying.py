"""Which relays an attempt names and asks, and that it gives back each use of an allocation once."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from node.counters import Counters
from node.links.relaying.doubts import DIRECT, RelayDoubts
from node.links.relaying.relays import LinkRelays
from node.links.relaying.run import RelayRun
from node.relay.port import RelayPort
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, IceCandidate
from protocol.errors import RelayFailed
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.turn.virtual import relayed_address

OWN, PEER = (Identity(bytes([number]) * 32) for number in (1, 2))


def contact(number: int, host: str = "") -> Contact:
    key = Identity(bytes([number]) * 32).public_key
    return Contact.at(key, Address(host or f"192.0.2.{number}", 4001))


NEAR, FAR, THIRD, FOURTH = (contact(number) for number in (11, 12, 13, 14))
V6 = contact(15, "2001:db8::1")
OURSELVES, THEM = contact(1), contact(2)
OTHER = Identity(bytes([3]) * 32)
MANY = tuple(map(contact, range(20, 60)))


def relays(
    client: "Client | None" = None,
    *,
    registrars: tuple[Contact, ...] = (),
    contacts: tuple[Contact, ...] = (),
    known: tuple[Contact, ...] = (),
    hidden: bool = False,
) -> LinkRelays:
    return LinkRelays(
        client,
        OWN.peer_id,
        lambda: registrars,
        lambda: contacts,
        lambda: (4,),
        lambda one: one in known,
        hidden=hidden,
    )


async def test_an_offer_names_two_of_the_callees_registrars_first_and_neither_of_the_two() -> None:
    ours = relays(registrars=(OURSELVES, FAR), contacts=(THEM, NEAR, THIRD, FOURTH))
    assert ours.to_name(PEER.peer_id, (THIRD, THEM, OURSELVES)) == (THIRD, NEAR, FAR)
    assert ours.to_name(PEER.peer_id, (NEAR, FAR, THIRD)) == (NEAR, FAR, FOURTH)


async def test_the_relay_of_our_choice_is_no_one_of_those_near_the_peer() -> None:
    far = [one for one in MANY if (one.peer_id[0] ^ PEER.peer_id[0]) >= 0x80]
    near = [one for one in MANY if one not in far]
    assert len(near) >= 8
    assert len(far) >= 3
    ours = relays(contacts=(*near, *far))
    assert ours.to_name(PEER.peer_id, near[:8]) == (near[0], near[1], far[0])


async def test_an_answer_names_a_relay_that_is_neither_offered_nor_a_registrar_of_ours() -> None:
    """Few ids ground near ours buy our registrars, of which the caller knows but a few."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1.0)
    far = [one for one in MANY if (one.peer_id[0] ^ OWN.peer_id[0]) >= 0x80]
    near = [one for one in MANY if one not in far]
    ours = relays(registrars=(*near[:3], far[0]), contacts=(*near, *far[:3]))
    assert ours.to_answer(PEER.peer_id, near[3:5]) == (far[1],)
    assert ours.to_answer(PEER.peer_id, far[1:3]) == (near[3],)
    assert ours.to_answer(PEER.peer_id, (), far[1]) == (far[2],)
    ours.doubts.note(far[1].peer_id, PEER.peer_id, loop.time())
    assert ours.to_answer(PEER.peer_id, ()) == (far[2],)


async def test_an_offer_names_contacts_before_registrars_of_ours() -> None:
    ours = relays(registrars=(THIRD,), contacts=(THIRD, FOURTH))
    assert ours.to_name(PEER.peer_id, (NEAR,)) == (NEAR, FOURTH, THIRD)


async def test_relays_that_carried_no_link_with_a_peer_are_named_last_to_this_peer() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1.0)
    ours = relays(contacts=(THIRD, FOURTH))
    for relay in (NEAR, THIRD):
        ours.doubts.note(relay.peer_id, PEER.peer_id, loop.time())
        await asyncio.sleep(1.0)
    assert ours.to_name(PEER.peer_id, (NEAR, FAR)) == (FOURTH, FAR, NEAR)
    assert ours.to_name(OTHER.peer_id, (NEAR, FAR)) == (NEAR, FAR, FOURTH)
    await asyncio.sleep(limits.RELAY_DOUBT_S)
    assert ours.to_name(PEER.peer_id, (NEAR, FAR))[:2] == (NEAR, FAR)


async def test_a_direct_path_that_carried_no_data_is_avoided_where_relays_are_known() -> None:
    await asyncio.sleep(1.0)
    ours = relays(contacts=(THIRD,))
    assert not ours.avoid_direct(PEER.peer_id)
    ours.doubt_direct(PEER.peer_id)
    assert ours.avoid_direct(PEER.peer_id)
    assert not ours.avoid_direct(OTHER.peer_id)
    ours.doubts.forget(DIRECT, PEER.peer_id)
    assert not ours.avoid_direct(PEER.peer_id)
    alone = relays()
    alone.doubt_direct(PEER.peer_id)
    assert not alone.avoid_direct(PEER.peer_id)


def test_of_peers_that_spoil_links_only_so_much_is_remembered() -> None:
    doubts = RelayDoubts()
    for number in range(limits.RELAY_DOUBTS + 9):
        doubts.note(NEAR.peer_id, number.to_bytes(20), 1.0)
    assert len(doubts) == limits.RELAY_DOUBTS
    assert doubts.noted_at(NEAR.peer_id, (9).to_bytes(20), 2.0) == 1.0
    assert doubts.noted_at(NEAR.peer_id, (8).to_bytes(20), 2.0) == 0.0


async def test_relays_that_we_reach_are_named_before_those_of_the_other_family() -> None:
    six = [contact(number, f"2001:db8::{number}") for number in (21, 22, 23)]
    both = contact(22)
    named = relays(contacts=(NEAR, both)).to_name(PEER.peer_id, six)
    assert named == (six[1], NEAR, six[0])


def test_a_relay_is_asked_at_the_address_of_our_family() -> None:
    both = contact(15)
    assert relays(contacts=(both,)).named_by_us([V6, V6, NEAR]) == [both, NEAR]
    assert relays().named_by_us([V6]) == []


def test_of_a_peers_relays_only_those_are_asked_that_have_proved_themselves() -> None:
    """An offer may name a victim's address, which gets one datagram at most."""
    offered = [THEM, NEAR, NEAR, FAR, OURSELVES]
    assert relays(known=(FAR, THIRD)).named_by(PEER.peer_id, [*offered, THIRD]) == [FAR, THIRD]
    assert relays().named_by(PEER.peer_id, offered) == [NEAR]


def test_where_one_relay_has_proved_itself_another_is_asked_as_well() -> None:
    """The one may be bad, as are all registrars of a peer whose neighbourhood was taken."""
    assert relays(known=(FAR,)).named_by(PEER.peer_id, [NEAR, THIRD, FAR]) == [FAR, NEAR]


def test_a_hidden_node_asks_no_relay_that_does_not_know_its_address() -> None:
    assert relays(known=(FAR,), hidden=True).named_by(PEER.peer_id, [NEAR, FAR]) == [FAR]
    assert relays(hidden=True).named_by(PEER.peer_id, [NEAR]) == []


# One attempt


class Users:
    is_silent = False

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.permitted: Counter[Address] = Counter()

    def permit(self, peer: Address) -> None:
        if self.full:
            raise RelayFailed("an allocation has no room for another peer")
        self.permitted[peer] += 1

    def forbid(self, peer: Address) -> None:
        self.permitted[peer] -= 1

    def ask_relay(self) -> None: ...


class Client:
    """Gives an allocation after a while; `uses` counts what was not released."""

    def __init__(self, after_s: float = 0.1, *, full: bool = False) -> None:
        self.after_s = after_s
        self.full = full
        self.uses: Counter[Address] = Counter()
        self.given = 0
        self.users: list[Users] = []
        self.ports: list[RelayPort] = []

    async def allocate(self, relay: Contact, *, ours: bool = True) -> RelayPort:
        await asyncio.sleep(self.after_s)
        users = Users(full=self.full)
        self.users.append(users)
        self.given += 1
        self.uses[relay.address] += 1
        local = relayed_address(relay.peer_id, OWN.peer_id)
        base: Any = None
        port = RelayPort(
            local, relay.address, base, Counters(), outgoing=lambda *_: (), users=users
        )
        self.ports.append(port)
        return port

    def release(self, port: RelayPort) -> None:
        assert not port.is_closing(), "it has ended already"
        self.uses[port.relay] -= 1

    @property
    def in_use(self) -> int:
        assert min(self.uses.values(), default=0) >= 0
        assert all(min(one.permitted.values(), default=0) >= 0 for one in self.users)
        return sum(self.uses.values())


def described(*hosts: str, named: tuple[Contact, ...] = ()) -> Description:
    candidates = tuple(IceCandidate(CandidateKind.HOST, Address(host, 5)) for host in hosts)
    return Description("abcd", "x" * 22, bytes(32), 0, candidates, relays=named)


@pytest.fixture
def agent() -> IceAgent:
    return IceAgent(
        controlling=True,
        credentials=IceCredentials("abcd", "x" * 22),
        transaction_prefix=b"test",
        rng=random.Random(1),
        settings=IceSettings(),
        allowance=NetworkAllowance(),
    )


def begun(client: Client, agent: IceAgent, *named: Contact) -> RelayRun:
    run = RelayRun(relays(client, known=named), PEER.peer_id, agent, lambda: None)
    offer = described(named=named)
    run.begin(offer, replace(offer, relays=()), offer)
    return run


async def test_a_relay_that_is_named_twice_is_used_and_given_back_once(agent: IceAgent) -> None:
    client = Client()
    run = begun(client, agent, NEAR, NEAR, FAR)
    await asyncio.sleep(1.0)
    assert (client.given, client.in_use, len(agent.local_candidates)) == (2, 2, 2)
    run.end(relayed_address(NEAR.peer_id, OWN.peer_id))
    assert client.in_use == 2, "what is on its way still arrives"
    await asyncio.sleep(2.1)
    assert (client.in_use, len(agent.local_candidates)) == (1, 1)
    await run.close()
    await run.close()
    assert (client.in_use, len(agent.local_candidates)) == (0, 0)
    assert not any(sum(one.permitted.values()) for one in client.users)


async def test_an_allocation_that_has_ended_is_no_base_any_more(agent: IceAgent) -> None:
    """As that of a relay whose stream has ended: checks would find it out after seconds."""
    client, flushed = Client(), 0

    def flush() -> None:
        nonlocal flushed
        flushed += 1

    run = RelayRun(relays(client, known=(NEAR, FAR)), PEER.peer_id, agent, flush)
    offer = described(named=(NEAR, FAR))
    run.begin(offer, replace(offer, relays=()), offer)
    await asyncio.sleep(1.0)
    before = flushed
    lost = relayed_address(NEAR.peer_id, OWN.peer_id)
    next(port for port in client.ports if port.local == lost).close()
    assert [one.base for one in agent.local_candidates] != [lost]
    assert (len(agent.local_candidates), flushed) == (1, before + 1)
    await run.close()
    assert client.uses == {NEAR.address: 1, FAR.address: 0}


async def test_the_relay_of_an_answer_is_asked_as_well_and_one_alone(agent: IceAgent) -> None:
    client = Client()
    run = RelayRun(relays(client, known=(FAR, THIRD)), PEER.peer_id, agent, lambda: None)
    offer, answer = described(named=(NEAR,)), described(named=(FAR, THIRD))
    run.offered(offer)
    run.begin(offer, offer, answer)
    await asyncio.sleep(1.0)
    assert client.uses == {NEAR.address: 1, FAR.address: 1}
    assert not run.under_way
    await run.close()
    assert client.in_use == 0


async def test_an_allocation_without_room_for_the_peer_is_given_back_and_told(
    agent: IceAgent,
) -> None:
    client = Client(full=True)
    run = begun(client, agent, NEAR)
    assert run.under_way
    assert not run.failed
    await asyncio.sleep(1.0)
    assert (client.given, client.in_use, run.failed, run.under_way) == (1, 0, True, False)
    await run.close()


async def test_a_relay_that_is_selected_again_while_it_lingers_is_kept(agent: IceAgent) -> None:
    client = Client()
    run = begun(client, agent, NEAR, FAR)
    await asyncio.sleep(1.0)
    run.end(Address("0.0.0.0", 4001))
    await asyncio.sleep(1.0)
    run.watch(relayed_address(FAR.peer_id, OWN.peer_id))
    await asyncio.sleep(5.0)
    assert client.uses == {NEAR.address: 0, FAR.address: 1}
    await run.close()


async def test_relays_that_carried_nothing_for_a_link_are_given_up_together(
    agent: IceAgent,
) -> None:
    """The peer knows nothing of that, and chose again the one that had been left first."""
    client = Client()
    run = begun(client, agent, NEAR, FAR, THIRD)
    await asyncio.sleep(1.0)
    run.doubt(relayed_address(NEAR.peer_id, OWN.peer_id))
    assert client.in_use == 3, "one that is left may be needed by the peer"
    run.drop(relayed_address(FAR.peer_id, OWN.peer_id))
    assert client.uses == {NEAR.address: 0, FAR.address: 0, THIRD.address: 1}
    await run.close()


@pytest.mark.parametrize("ended_at_s", [0.0, 0.05, 0.1, 0.15])
async def test_after_the_end_nothing_is_allocated(agent: IceAgent, ended_at_s: float) -> None:
    client = Client()
    run = begun(client, agent, NEAR, FAR)
    await asyncio.sleep(ended_at_s)
    await run.close()
    await asyncio.sleep(1.0)
    assert client.in_use == 0
    run.begin(described(named=(NEAR,)), described(), described())
    await asyncio.sleep(1.0)
    assert client.in_use == 0


@pytest.mark.parametrize(
    ("ours", "theirs", "after_s"),
    [("192.0.2.1", "192.0.2.2", 0.5), ("192.0.2.1", "2001:db8::1", 0.0), ("", "192.0.2.2", 0.0)],
)
async def test_relays_are_asked_at_once_only_where_they_will_be_needed(
    agent: IceAgent, ours: str, theirs: str, after_s: float
) -> None:
    client = Client(after_s=0.0)
    run = RelayRun(relays(client, known=(NEAR,)), PEER.peer_id, agent, lambda: None)
    own, peer = (described(*filter(None, [one])) for one in (ours, theirs))
    run.begin(replace(peer, relays=(NEAR,)), own, replace(peer, relays=(NEAR,)))
    await asyncio.sleep(max(after_s - 0.01, 0.0))
    assert client.given == 0 or after_s == 0.0
    await asyncio.sleep(0.02)
    assert client.given == 1
    await run.close()


BESIDE, SAME, APART = contact(16, "5.0.0.1"), contact(17, "5.0.0.2"), contact(18, "6.0.0.1")
"""A relay in use, and two more, of which one stands in its network."""


async def test_beside_a_relay_those_of_other_networks_are_named_first() -> None:
    named = (BESIDE, SAME, APART)
    ours = relays()
    assert ours.to_name(PEER.peer_id, named) == named
    assert ours.to_name(PEER.peer_id, named, BESIDE) == (APART, SAME)


async def test_an_answer_names_rather_a_relay_of_another_network_than_that_in_use() -> None:
    one, other = [
        number for number in range(20, 60) if contact(number).peer_id[0] ^ OWN.peer_id[0] >= 128
    ][:2]
    same, apart = contact(one, "5.0.0.3"), contact(other, "6.0.0.3")
    ours = relays(contacts=(same, apart))
    assert ours.to_answer(PEER.peer_id, ()) == (same,)
    assert ours.to_answer(PEER.peer_id, (), BESIDE) == (apart,)


@pytest.mark.parametrize("works", [{SAME, APART}, {SAME}])
async def test_the_second_relay_is_rather_one_of_another_network(
    agent: IceAgent, monkeypatch: pytest.MonkeyPatch, works: set[Contact]
) -> None:
    client = Client()
    run = begun(client, agent, BESIDE, SAME, APART)
    await asyncio.sleep(1.0)
    bases = {relayed_address(relay.peer_id, OWN.peer_id) for relay in works}

    def nearest(_agent: IceAgent, among: list[Address], _now: float) -> Address | None:
        return next((base for base in among if base in bases), None)

    monkeypatch.setattr(IceAgent, "second_base", nearest)
    run.end(relayed_address(BESIDE.peer_id, OWN.peer_id))
    await asyncio.sleep(2.1)
    kept = APART if APART in works else SAME
    assert {at for at, uses in client.uses.items() if uses} == {BESIDE.address, kept.address}
    await run.close()


@pytest.mark.parametrize(("is_relayed", "given"), [(True, 2), (False, 1)])
async def test_what_was_asked_of_relays_is_waited_for_where_one_is_in_use(
    agent: IceAgent, is_relayed: bool, given: int
) -> None:
    client = Client()
    run = begun(client, agent, NEAR)
    await asyncio.sleep(1.0)
    run.begin(described(named=(FAR,)), described(), described(named=(FAR,)))
    direct = Address("0.0.0.0", 4001)
    run.end(relayed_address(NEAR.peer_id, OWN.peer_id) if is_relayed else direct)
    await asyncio.sleep(1.9)
    assert client.given == given
    await asyncio.sleep(0.2)
    assert not run.under_way
    await run.close()
