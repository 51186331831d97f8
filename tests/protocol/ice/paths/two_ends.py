"""Two agents with two paths between them, and what tests ask of these."""

from collections.abc import Callable

from protocol.addresses import Address
from protocol.ice.pairs import CandidatePair
from tests.protocol.ice.ice_network import HOST, RELAYED, VIA_A, VIA_B, A, B, End, Network, connect

A6, B6 = Address("2600::a", 4001), Address("2600::b", 4001)
VIA2_A, VIA2_B = Address("100::2a", 3478), Address("100::2b", 3478)
FLOW_S = 0.25


def relay_of(address: Address) -> str:
    return "second" if address in {VIA2_A, VIA2_B} else "first"


def dual_stack(network: Network) -> tuple[End, End]:
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    connect(network, a, b, [(HOST, A, A), (HOST, A6, A6)], [(HOST, B, B), (HOST, B6, B6)])
    network.run(3)
    return a, b


def relayed(network: Network) -> tuple[End, End]:
    """By two relays, of which the first is the nearer one."""
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    join_by_two_relays(network, a, b)
    return a, b


def join_by_two_relays(network: Network, a: End, b: End) -> None:
    for end, via, peer in ((a, VIA_A, VIA_B), (a, VIA2_A, VIA2_B), (b, VIA_B, VIA_A)):
        end.agent.add_local(RELAYED, via, via, network.now, peer=peer)
    b.agent.add_local(RELAYED, VIA2_B, VIA2_B, network.now, peer=VIA2_A)
    network.route = lambda source, _remote: 0.06 if relay_of(source) == "second" else 0.04
    ours = [(RELAYED, VIA_A, VIA_A), (RELAYED, VIA2_A, VIA2_A)]
    theirs = [(RELAYED, VIA_B, VIA_B), (RELAYED, VIA2_B, VIA2_B)]
    connect(network, a, b, ours, theirs)
    network.run(3)


def selected(end: End) -> Address:
    assert end.agent.selected is not None
    return end.agent.selected.base


def row(end: End, base: Address) -> CandidatePair:
    """The pair of this base whose check was answered last."""
    sessions = end.agent._sessions()
    pairs = [pair for one in sessions for pair in one.checklist if pair.base == base]
    return max(pairs, key=lambda pair: pair.answered_at)


def let_data_flow(network: Network, ends: tuple[End, ...], seconds: float) -> None:
    """Tell the agents of data four times a second, as a link does."""
    for _ in range(round(seconds / FLOW_S)):
        for end in ends:
            end.agent.data_arrived(carried_bytes(network), network.now)
        network.run(FLOW_S)


def carried_bytes(network: Network) -> int:
    """What a link has carried by now that carries 1 MB/s."""
    return round(network.now * 1_000_000)


def drop(*bases: Address) -> Callable[[End, object], bool]:
    return lambda _end, datagram: datagram.base in bases  # type: ignore[attr-defined]
