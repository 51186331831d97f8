"""The paths of two agents: kept, measured, changed, and not moved by what others send again."""

import itertools

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.ice.events import ConsentLost
from protocol.ice.paths.report import PathReason
from protocol.ice.paths.selector import PathClass
from protocol.stun.attributes import Attribute
from protocol.stun.message import StunClass, decode_stun
from tests.protocol.ice.ice_network import (
    HOST,
    RELAYED,
    VIA_A,
    VIA_B,
    A,
    B,
    Network,
    about,
    connect,
)
from tests.protocol.ice.paths.two_ends import (
    A6,
    B6,
    FLOW_S,
    VIA2_A,
    VIA2_B,
    carried_bytes,
    drop,
    dual_stack,
    join_by_two_relays,
    let_data_flow,
    relay_of,
    relayed,
    row,
    selected,
)


def test_a_path_of_the_other_family_is_found_and_kept() -> None:
    network = Network(0.05)
    ends = dual_stack(network)
    network.run(300)
    for end in ends:
        for base in (A, A6) if end.name == "a" else (B, B6):
            assert network.now - row(end, base).answered_at < 30
            assert row(end, base).quality.loss == 0
            assert row(end, base).quality.round_trip_s == pytest.approx(0.1)


def test_a_path_of_the_other_family_is_looked_for_though_its_first_checks_are_lost() -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    began_at = network.now
    network.lost = lambda _end, one: one.base in {A6, B6} and network.now < began_at + 0.8
    connect(network, a, b, [(HOST, A, A), (HOST, A6, A6)], [(HOST, B, B), (HOST, B6, B6)])
    network.run(3)
    assert selected(a) == A
    assert row(a, A6).answered_at > began_at + 0.8
    assert row(b, B6).answered_at > began_at + 0.8


def test_a_path_beside_gets_no_check_once_its_answers_speak_for_it_no_more() -> None:
    """What an unproved address may get is left for the peer's next mapping, which waits for it."""
    network = Network(0.05)
    ends = dual_stack(network)
    unused = (A6, B6) if selected(ends[0]) == A else (A, B)
    answered_at = max(row(*one).answered_at for one in zip(ends, unused, strict=True))
    network.lost = drop(*unused)
    let_data_flow(network, ends, 90)
    sent_at = [at for end in ends for at, one in end.sent if one.base in unused]
    assert max(sent_at) > answered_at + 20
    assert max(sent_at) <= answered_at + limits.ICE_CONSENT_S + limits.PATH_CHECK_BUSY_S


def test_a_better_path_takes_over_after_a_while_and_both_sides_use_it() -> None:
    network = Network(0.05)
    ends = dual_stack(network)
    first = selected(ends[0])
    network.route = lambda source, _: 0.05 if (source.family == 6) == (first.family == 6) else 0.02
    let_data_flow(network, ends, 60)
    assert selected(ends[0]) != first
    assert (selected(ends[0]).family, len(ends[0].selections)) == (selected(ends[1]).family, 2)
    let_data_flow(network, ends, 300)
    assert len(ends[0].selections) == 2, "it stays there"


def test_paths_alike_are_not_changed() -> None:
    network = Network(0.05)
    ends = relayed(network)
    flow = {"second": 0.041, "first": 0.043}
    network.route = lambda source, _remote: flow[relay_of(source)]
    let_data_flow(network, ends, 300)
    assert [len(end.selections) for end in ends] == [1, 1]


def test_a_dead_path_is_left_within_an_answers_time_once_data_tell() -> None:
    network = Network(0.05)
    ends = relayed(network)
    let_data_flow(network, ends, 10)
    assert (selected(ends[0]), selected(ends[1])) == (VIA_A, VIA_B)
    network.lost = drop(VIA_A, VIA_B)
    dead_at = network.now
    network.run(0.3)
    ends[0].agent.check_now(network.now)
    network.run(1)
    assert (selected(ends[0]), selected(ends[1])) == (VIA2_A, VIA2_B)
    assert ends[0].selections[-1][0] - dead_at - 0.3 < 0.25
    assert ends[1].selections[-1][0] - dead_at - 0.3 < 0.4


def test_the_controlled_side_leaves_a_dead_path_before_it_is_told() -> None:
    """Only what it sends is lost, and its peer notices nothing for now."""
    network = Network(0.05)
    a, b = relayed(network)
    let_data_flow(network, (a, b), 10)
    network.lost = drop(VIA_B)
    b.agent.check_now(network.now)
    network.run(0.3)
    assert selected(b) == VIA2_B
    network.run(60)
    assert selected(b) == VIA2_B
    assert selected(a) == VIA2_A
    assert not a.told(ConsentLost)


def test_one_lost_check_moves_nothing_while_data_arrive() -> None:
    network = Network(0.05)
    ends = relayed(network)
    network.lost = lambda end, one: one.base == VIA_A and network.now % 9 < 1.2
    let_data_flow(network, ends, 300)
    assert row(ends[0], VIA_A).quality.loss > 0
    assert [len(end.selections) for end in ends] == [1, 1]


def test_an_idle_link_leaves_a_dead_path_for_a_kept_one() -> None:
    network = Network(0.05)
    ends = relayed(network)
    network.run(100)
    network.lost = drop(VIA_A, VIA_B)
    dead_at = network.now
    network.run(60)
    for end, via in zip(ends, (VIA2_A, VIA2_B), strict=True):
        assert selected(end) == via
        assert end.selections[-1][0] - dead_at < 11
        assert not end.told(ConsentLost)


def test_a_path_that_loses_data_is_left_at_once_and_alone_for_longer_each_time() -> None:
    """It answers every check, and is the better one of the two."""
    network = Network(0.05)
    a, b = relayed(network)
    lost_at = []
    for _ in range(round(1200 / FLOW_S)):
        for end in (a, b):
            end.agent.data_arrived(carried_bytes(network), network.now)
        if selected(a) == VIA_A:
            assert a.agent.leave_selected(network.now)
            lost_at.append(network.now)
        network.run(FLOW_S)
    pauses = [later - earlier for earlier, later in itertools.pairwise(lost_at)]
    assert 3 <= len(pauses) <= 5
    assert all(later > 1.7 * earlier for earlier, later in itertools.pairwise(pauses))
    assert pauses[0] > limits.PATH_PENALTY_S


def test_a_controlled_side_whose_data_are_lost_is_not_called_back_by_its_peer() -> None:
    network = Network(0.05)
    a, b = relayed(network)
    let_data_flow(network, (a, b), 5)
    assert b.agent.leave_selected(network.now)
    let_data_flow(network, (a, b), limits.PATH_PENALTY_S - 1)
    assert (selected(a), selected(b)) == (VIA_A, VIA2_B)
    assert len(b.selections) == 2
    let_data_flow(network, (a, b), 30)
    assert selected(b) == VIA_B, "its peer still prefers it, and it is tried again"


def test_a_path_that_loses_data_is_kept_where_there_is_no_other() -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)])
    network.run(3)
    assert not a.agent.leave_selected(network.now)
    network.run(60)
    assert selected(a) == A


def test_a_one_way_path_is_never_used() -> None:
    """Direct datagrams pass from one side only; the link stays relayed for 5 minutes."""
    network = Network(0.05)
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    network.lost = drop(B)
    ours = [(HOST, A, A), (RELAYED, VIA_A, VIA_A)]
    connect(network, a, b, ours, [(HOST, B, B), (RELAYED, VIA_B, VIA_B)])
    for _ in range(30):
        let_data_flow(network, (a, b), 10)
        for end in (a, b):
            end.agent.try_again(network.now)
    assert (selected(a), selected(b)) == (VIA_A, VIA_B)
    assert [len(end.selections) for end in (a, b)] == [1, 1]


def test_nominations_that_others_send_again_move_no_link() -> None:
    """Every nomination that ever arrived is sent again, from where it came and from elsewhere."""
    network = Network(0.05)
    a, b = relayed(network)
    recorded = [
        (one.data, one.base)
        for _, one in a.sent
        if decode_stun(one.data).get(Attribute.USE_CANDIDATE) is not None
    ]
    let_data_flow(network, (a, b), 5)
    assert b.agent.leave_selected(network.now)
    assert a.agent.leave_selected(network.now)
    let_data_flow(network, (a, b), 5)
    assert selected(b) == VIA2_B
    told = len(b.selections)
    assert recorded
    for data, source in recorded:
        for forged in (source, VIA2_A):
            network.deliver(b, data, forged, VIA_B if forged == VIA_A else VIA2_B)
            network.run(1)
    let_data_flow(network, (a, b), 5)
    assert len(b.selections) == told
    assert selected(b) == VIA2_B


def test_an_old_nomination_of_a_path_that_works_moves_no_link() -> None:
    """Both paths answer and neither has a penalty: only its number tells that it is old."""
    network = Network(0.05)
    a, b = dual_stack(network)
    first = selected(a)
    recorded = [
        one.data
        for _, one in a.sent
        if decode_stun(one.data).get(Attribute.USE_CANDIDATE) is not None
    ]
    network.route = lambda source, _: 0.05 if (source.family == 6) == (first.family == 6) else 0.02
    let_data_flow(network, (a, b), 60)
    moved_to, told = selected(b), len(b.selections)
    assert moved_to.family != first.family
    theirs = B6 if first == A6 else B
    for data in recorded:
        network.deliver(b, data, first, theirs)
        network.run(2)
    assert len(b.selections) == told
    assert selected(b) == moved_to


def test_answers_that_others_send_again_prove_no_path() -> None:
    network = Network(0.05)
    a, b = relayed(network)
    answers = [
        (one.data, one.base) for _, one in b.sent if decode_stun(one.data).kind is StunClass.SUCCESS
    ]
    network.lost = drop(VIA2_A, VIA2_B)
    before = row(a, VIA2_A).answered_at
    for data, source in answers:
        network.deliver(a, data, source, VIA_A if source == VIA_B else VIA2_A)
    assert row(a, VIA2_A).answered_at == before
    assert a.refused


def test_all_kept_paths_are_told_with_what_was_measured_and_why() -> None:
    network = Network(0.05)
    ends = relayed(network)
    for carried in range(0, 12_000, 1000):
        for end in ends:
            end.agent.data_arrived(carried, network.now)
        network.run(FLOW_S)
    for end, bases in zip(ends, ([VIA_A, VIA2_A], [VIA_B, VIA2_B]), strict=True):
        in_use, other = end.agent.paths(network.now)
        assert [in_use.base, other.base] == bases
        assert (in_use.selected, other.selected) == (True, False)
        assert in_use.reason is other.reason is PathReason.ROUND_TRIP
        assert in_use.path_class is other.path_class is PathClass.RELAYED
        assert (in_use.round_trip_s, other.round_trip_s) == (about(0.08), about(0.12))
        assert (in_use.loss, other.loss) == (0.0, 0.0)
        assert (in_use.rate, other.rate) == (about(4000), None)
    network.lost = drop(VIA2_A, VIA2_B)
    let_data_flow(network, ends, 6)
    in_use, other = ends[0].agent.paths(network.now)
    assert in_use.reason is PathReason.ONLY
    assert other.reason is PathReason.UNANSWERED
    assert other.loss > 0
    network.run(2)
    assert ends[0].agent.paths(network.now)[0].rate is None, "nothing more was carried"


def test_a_path_that_was_left_carries_nothing_any_more_and_the_next_one_begins_with_no_rate() -> (
    None
):
    network = Network(0.05)
    a, b = relayed(network)
    for carried in range(0, 12_000, 1000):
        for end in (a, b):
            end.agent.data_arrived(carried, network.now)
        network.run(FLOW_S)
    assert a.agent.leave_selected(network.now)
    a.agent.data_arrived(12_000, network.now)
    in_use, left = a.agent.paths(network.now)
    assert (in_use.base, in_use.rate) == (VIA2_A, None)
    assert left.reason is PathReason.LEFT
    network.run(FLOW_S)
    a.agent.data_arrived(13_000, network.now)
    assert a.agent.paths(network.now)[0].rate == about(4000)
    network.run(1)
    assert [path.rate for path in a.agent.paths(network.now)][1] is None


def test_no_path_is_told_before_one_is_selected() -> None:
    network = Network()
    assert network.add("a", controlling=True).agent.paths(network.now) == []


def test_a_relay_that_is_reached_by_a_stream_comes_last() -> None:
    """The nearer one is, so the link goes by the other, and says so."""
    network = Network(0.05)
    streams: set[Address] = set()
    a = network.add("a", controlling=True, goes_by_stream=streams.__contains__)
    b = network.add("b", controlling=False)
    join_by_two_relays(network, a, b)
    assert selected(a) == VIA_A
    streams.add(VIA_A)
    let_data_flow(network, (a, b), 3)
    assert (selected(a), selected(b)) == (VIA2_A, VIA2_B)
    in_use, other = a.agent.paths(network.now)
    assert (in_use.path_class, in_use.reason) == (PathClass.RELAYED, PathReason.CLASS)
    assert (other.path_class, other.reason) == (PathClass.STREAM, PathReason.CLASS)
    streams.clear()
    let_data_flow(network, (a, b), 20)
    assert selected(a) == VIA_A


def test_a_check_that_is_late_moves_nothing_while_data_arrive() -> None:
    """The data have paused, as behind a long queue, which the check waits in as well."""
    network = Network(0.05)
    a, b = relayed(network)
    let_data_flow(network, (a, b), 10)
    network.lost = drop(VIA_A)
    a.agent.check_now(network.now, is_sure=False)
    let_data_flow(network, (a, b), 0.5)
    assert selected(a) == VIA_A
    a.agent.check_now(network.now, is_sure=True)
    network.run(0.5)
    assert selected(a) == VIA2_A, "what was sent is not acknowledged"


def test_the_controlled_side_keeps_what_its_peer_uses_though_it_has_left_it() -> None:
    network = Network(0.05)
    a, b = relayed(network)
    let_data_flow(network, (a, b), 10)
    assert b.agent.leave_selected(network.now)
    assert (selected(a), selected(b)) == (VIA_A, VIA2_B)
    assert b.agent.second_base([VIA_B], network.now) == VIA_B
