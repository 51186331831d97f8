"""What the checks of all paths cost beside the data of a link, whichever rate its line has."""

import pytest

from protocol import limits
from protocol.ice.paths.selector import PROVED_S
from tests.protocol.ice.ice_network import A, B, End, Network
from tests.protocol.ice.paths.two_ends import (
    A6,
    B6,
    FLOW_S,
    dual_stack,
    let_data_flow,
    row,
    selected,
)

HEADERS_BYTES = {4: 28, 6: 48}
LASTS_S = 60.0


def checks_beside(bytes_s: float) -> tuple[float, float]:
    """Of a link that carries so much: bytes a second of one side's checks and answers, and how old
    the last answer by each path is at most.
    """
    network = Network(0.05)
    a, b = dual_stack(network)
    before, began_at, oldest_s = len(a.sent), network.now, 0.0
    while network.now < began_at + LASTS_S:
        for end in (a, b):
            end.agent.data_arrived(round(bytes_s * (network.now - began_at)), network.now)
        network.run(FLOW_S)
        if network.now > began_at + limits.PATH_CHECK_SLOW_S:
            oldest_s = max(oldest_s, age_s(network, a))
    sent = [one for _, one in a.sent[before:]]
    return sum(len(one.data) + HEADERS_BYTES[one.base.family] for one in sent) / LASTS_S, oldest_s


def age_s(network: Network, end: End) -> float:
    return network.now - min(row(end, base).answered_at for base in (A, A6))


def test_the_upkeep_of_an_idle_link_is_within_its_bound() -> None:
    """A check and its answer are 96 to 108 and 64 to 76 bytes, and 28 or 48 of headers each."""
    network = Network(0.05)
    ends = dual_stack(network)
    before = [len(end.sent) for end in ends]
    network.run(600)
    sent = [datagram for end, at in zip(ends, before, strict=True) for _, datagram in end.sent[at:]]
    kept = [one for one in sent if one.base != selected(ends[one.base in {B, B6}])]
    kept_bytes = sum(len(one.data) + (48 if one.base.family == 6 else 28) for one in kept)
    assert 5 < kept_bytes / 600 < 40


def test_while_data_flow_all_paths_are_measured_every_moment() -> None:
    network = Network(0.05)
    ends = dual_stack(network)
    let_data_flow(network, ends, 30)
    for end in ends:
        for base in (A, A6) if end.name == "a" else (B, B6):
            age_s = network.now - row(end, base).answered_at
            assert age_s < limits.PATH_CHECK_BUSY_S + 0.5
    checked = [at for at, one in ends[0].sent if one.base in {A, A6}]
    network.run(60)
    later = [at for at, one in ends[0].sent if one.base in {A, A6}][len(checked) :]
    assert len(later) < 60, "an idle link is checked rarely again"


def test_the_checks_of_a_link_that_carries_much_are_as_frequent_as_they_may_be() -> None:
    _, oldest_s = checks_beside(1_000_000)
    assert oldest_s < limits.PATH_CHECK_BUSY_S + 0.5


@pytest.mark.parametrize(("bytes_s", "part"), [(6000, 0.025), (16_000, 0.015)])
def test_the_checks_of_a_slow_link_take_a_small_part_of_its_line(bytes_s: int, part: float) -> None:
    """They took 6 % and 2 % of 6 and 16 kB/s, and a transfer as much longer."""
    sent_bytes_s, oldest_s = checks_beside(bytes_s)
    assert sent_bytes_s < part * bytes_s
    assert oldest_s < PROVED_S, "the link could go on by the other path at once"
