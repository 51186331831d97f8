"""Whether a link would go on by another path, and that the loss of one is told."""

from protocol import limits
from protocol.ice.events import PathSilent
from tests.protocol.ice.ice_network import HOST, VIA_A, VIA_B, A, B, Network, connect
from tests.protocol.ice.paths.two_ends import (
    VIA2_A,
    VIA2_B,
    drop,
    let_data_flow,
    relayed,
    selected,
)


def test_a_kept_path_that_falls_silent_is_told_and_is_no_spare_any_more() -> None:
    network = Network(0.05)
    ends = relayed(network)
    network.run(60)
    assert all(end.agent.has_spare(network.now) for end in ends)
    network.lost = drop(VIA2_A, VIA2_B)
    network.run(2 * limits.PATH_CHECK_IDLE_S)
    for end, base in zip(ends, (VIA2_A, VIA2_B), strict=True):
        assert {told.base for _, told in end.told(PathSilent)} == {base}
        assert not end.agent.has_spare(network.now)
    assert (selected(ends[0]), selected(ends[1])) == (VIA_A, VIA_B)


def test_while_data_flow_a_kept_path_is_silent_after_three_checks() -> None:
    network = Network(0.05)
    ends = relayed(network)
    let_data_flow(network, ends, 5)
    network.lost = drop(VIA2_A, VIA2_B)
    silent_at = network.now
    let_data_flow(network, ends, 10)
    (told_at, _), *_ = ends[0].told(PathSilent)
    assert 2 * limits.PATH_CHECK_BUSY_S < told_at - silent_at < 4 * limits.PATH_CHECK_BUSY_S


def test_a_single_lost_check_is_no_silence() -> None:
    network = Network(0.05)
    ends = relayed(network)
    network.lost = lambda end, one: one.base == VIA2_A and network.now % 9 < 1.2
    let_data_flow(network, ends, 100)
    assert not ends[0].told(PathSilent)


def test_the_selected_path_that_was_left_is_told_and_no_spare() -> None:
    network = Network(0.05)
    ends = relayed(network)
    let_data_flow(network, ends, 10)
    network.lost = drop(VIA_A, VIA_B)
    ends[0].agent.check_now(network.now)
    network.run(1)
    assert selected(ends[0]) == VIA2_A
    assert [told.base for _, told in ends[0].told(PathSilent)] == [VIA_A]
    assert not ends[0].agent.has_spare(network.now)


def test_where_all_fall_silent_at_once_none_is_told() -> None:
    """It is the line that is gone, or the peer."""
    network = Network(0.05)
    ends = relayed(network)
    network.run(60)
    network.lost = lambda _end, _one: True
    network.run(25)
    assert not any(end.told(PathSilent) for end in ends)


def test_a_link_with_one_path_has_no_spare_and_one_without_any_neither() -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True)
    assert not a.agent.has_spare(network.now)
    connect(network, a, network.add("b", controlling=False), [(HOST, A, A)], [(HOST, B, B)])
    network.run(3)
    assert not a.agent.has_spare(network.now)


def test_a_path_under_a_penalty_is_no_spare() -> None:
    network = Network(0.05)
    ends = relayed(network)
    assert ends[0].agent.leave_selected(network.now)
    assert not ends[0].agent.has_spare(network.now)
    let_data_flow(network, ends, limits.PATH_PENALTY_S + 10)
    assert ends[0].agent.has_spare(network.now)


def test_a_side_that_only_follows_checks_the_path_at_once_that_it_goes_on_by() -> None:
    """If that loses data as well, its answers tell that it is to be left."""
    network = Network(0.05)
    _, end = relayed(network)
    let_data_flow(network, (end,), 3)
    network.run(0.5)
    left_at = network.now
    assert end.agent.leave_selected(left_at)
    assert selected(end) == VIA2_B
    assert end.agent.answered_at < left_at
    network.run(0.2)
    assert end.agent.answered_at > left_at
