"""Relayed pairs: nominated late, left for a direct one, and reached from one another alone."""

from protocol.addresses import Address
from protocol.ice.events import PairSelected
from protocol.ice.settings import IceSettings
from tests.protocol.ice.ice_network import (
    HOST,
    REFLEXIVE,
    RELAYED,
    VIA_A,
    VIA_B,
    A,
    B,
    End,
    Nat,
    Network,
    about,
    connect,
)

RELAYED_A = [(HOST, A, A), (RELAYED, VIA_A, VIA_A)]
RELAYED_B = [(HOST, B, B), (RELAYED, VIA_B, VIA_B)]

DIRECT_S = 0.1
BY_RELAY_S = 0.02
SETTINGS = IceSettings()


def routes(network: Network, direct_from: float) -> None:
    """Relays are fast; the direct way opens at a time."""

    def route(source: Address, _remote: Address) -> float | None:
        if source in {VIA_A, VIA_B}:
            return BY_RELAY_S / 2
        return DIRECT_S / 2 if network.now >= direct_from else None

    network.route = route


def ends(network: Network) -> tuple[End, End]:
    return network.add("a", controlling=True), network.add("b", controlling=False)


def test_a_direct_pair_wins_over_a_faster_relay() -> None:
    network = Network()
    routes(network, 0)
    a, b = ends(network)
    connect(network, a, b, RELAYED_A, RELAYED_B)
    network.run(5)
    assert [(base, remote) for _, base, remote in a.selections] == [(A, B)]
    assert {(base, remote) for _, base, remote in b.selections} == {(B, A)}


def test_a_relayed_pair_waits_for_a_direct_one_and_no_longer() -> None:
    network = Network()
    routes(network, 1e9)
    a, b = ends(network)
    begun = network.now
    connect(network, a, b, RELAYED_A, RELAYED_B)
    network.run(5)
    ((at, base, remote),) = a.selections
    assert (base, remote) == (VIA_A, VIA_B)
    assert at == about(begun + SETTINGS.relay_delay_s)
    ((at, one),) = b.told(PairSelected)
    assert one.relayed
    assert one.nominated
    assert at == about(begun + SETTINGS.relay_delay_s + BY_RELAY_S / 2)


def test_a_slow_relay_waits_for_round_trips_of_its_own() -> None:
    network = Network(0.25)
    a, b = ends(network)
    network.route = lambda source, _remote: 0.25 if source in {VIA_A, VIA_B} else None
    begun = network.now
    connect(network, a, b, RELAYED_A, RELAYED_B)
    network.run(5)
    assert a.selections[0][0] == about(begun + 3 * 0.5)


def test_without_direct_candidates_a_relayed_pair_is_nominated_at_once() -> None:
    network = Network()
    routes(network, 0)
    a, b = ends(network)
    begun = network.now
    connect(network, a, b, RELAYED_A[1:], RELAYED_B[1:])
    network.run(5)
    assert a.selections == [(about(begun + BY_RELAY_S), VIA_A, VIA_B)]


def test_where_a_direct_pair_needs_a_search_a_relayed_one_waits_for_none() -> None:
    network = Network()
    begun = network.now
    routes(network, begun + 2.0)
    a, b = ends(network)
    connect(network, a, b, RELAYED_A, RELAYED_B, waits_for_direct=False)
    network.run(1)
    ((at, base, remote),) = a.selections
    assert (base, remote) == (VIA_A, VIA_B)
    assert at < begun + SETTINGS.relay_delay_s / 2
    network.run(5)
    assert a.selections[-1][1:] == (A, B), "it is left as soon as a direct one works"


def test_virtual_addresses_pair_with_one_another_alone() -> None:
    network = Network()
    a, _ = ends(network)
    six, theirs = Address("2001:db8::1", 4001), Address("2001:db8::2", 4001)
    a.agent.add_local(HOST, six, six, 0.0)
    a.agent.add_local(RELAYED, VIA_A, VIA_A, 0.0)
    a.agent.add_remote(HOST, theirs, 0.0)
    a.agent.add_remote(RELAYED, VIA_B, 0.0)
    pairs = [(row.base, row.remote) for row in a.agent.report()]
    assert pairs == [(six, theirs), (VIA_A, VIA_B)]


def test_virtual_addresses_need_no_proof() -> None:
    """Nothing is ever sent to them but by our own relay."""
    network = Network()
    routes(network, 0)
    a, b = ends(network)
    connect(network, a, b, RELAYED_A[1:], RELAYED_B[1:], budget_bytes=0)
    network.run(1)
    assert a.selections[0][1:] == (VIA_A, VIA_B)


def test_a_link_leaves_its_relay_when_a_direct_pair_works() -> None:
    network = Network()
    routes(network, network.now + 1.2)
    a, b = ends(network)
    connect(network, a, b, RELAYED_A, RELAYED_B)
    network.run(5)
    assert [(base, remote) for _, base, remote in a.selections] == [(VIA_A, VIA_B), (A, B)]
    assert b.selections[-1][1:] == (B, A)
    assert b.told(PairSelected)[-1][1].nominated


def test_direct_pairs_that_failed_may_be_tried_again_under_a_relay() -> None:
    network = Network()
    routes(network, network.now + 20)
    a, b = ends(network)
    connect(network, a, b, RELAYED_A, RELAYED_B)
    network.run(25)
    assert a.selections[-1][1] == VIA_A
    # Each address may have had its checks; those of the peer make room for more.
    for end in (a, b):
        end.agent.vouch("5.0.0.1", network.now)
        end.agent.vouch("6.0.0.1", network.now)
        end.agent.try_again(network.now)
    network.run(1)
    assert a.selections[-1][1:] == (A, B)
    assert b.selections[-1][1:] == (B, A)


def test_relays_that_come_late_are_paired_with_one_peer_address_each() -> None:
    network = Network()
    routes(network, 1e9)
    a, b = ends(network)
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)])
    network.run(0.2)
    others = (Address("100::c", 3478), Address("100::d", 3478))
    for end, own, peer in ((a, VIA_A, VIA_B), (b, VIA_B, VIA_A)):
        network.bind(end, own)
        end.agent.add_local(RELAYED, own, own, network.now, peer=peer)
        end.agent.add_remote(RELAYED, others[0], network.now)
        end.agent.add_remote(RELAYED, peer, network.now)
    a.agent.add_remote(HOST, Address("2001:db8::7", 1), network.now)
    begun = network.now
    network.run(2)
    assert [(row.base, row.remote) for row in a.agent.report()] == [(A, B), (VIA_A, VIA_B)]
    assert a.selections == [(about(begun + 0.2), VIA_A, VIA_B)]


def test_a_relayed_address_that_was_not_told_is_known_by_its_priority() -> None:
    """A check from a foreign relay's real address says so by its type preference."""
    network = Network(0.05)
    a, b = ends(network)
    at_relay = Address("9.0.0.1", 50000)
    connect(network, a, b, [(HOST, A, A)], [])
    network.bind(b, at_relay)
    b.agent.add_local(RELAYED, at_relay, at_relay, network.now)
    network.run(1)
    assert a.told(PairSelected)[0][1].relayed


def test_a_relayed_pair_does_not_wait_for_direct_ones_that_have_failed() -> None:
    network = Network()
    routes(network, 1e9)
    settings = IceSettings(relay_delay_s=30, relay_delay_round_trips=0, rto_s=0.1, last_wait_s=0.1)
    a = network.add("a", controlling=True, settings=settings)
    b = network.add("b", controlling=False)
    connect(network, a, b, RELAYED_A, RELAYED_B)
    network.run(20)
    assert a.selections[0][0] == about(network.now - 20 + 0.1 + 0.2 + 0.4 + 0.1)


def test_the_mapped_address_is_told_for_each_pair() -> None:
    network = Network(0.05)
    nat = Nat("7.0.0.1", offset=10)
    a = network.add("a", controlling=True, nat=nat)
    b = network.add("b", controlling=False)
    inside = Address("192.168.1.2", 4001)
    connect(
        network,
        a,
        b,
        [(HOST, inside, inside), (REFLEXIVE, Address("7.0.0.1", 4011), inside)],
        [(HOST, B, B)],
    )
    network.run(1)
    assert a.agent.report()[0].mapped == Address("7.0.0.1", 4011)
