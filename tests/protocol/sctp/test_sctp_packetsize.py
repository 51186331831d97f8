"""The search for the largest packet, against paths of every width."""

from math import inf

import pytest

from protocol.sctp import limits
from protocol.sctp.send.packetsize import LOOPBACK_SIZES, PACKET_SIZES, PacketSize


def search(size: PacketSize, carries: int, now: float, until: float) -> list[int]:
    """Let time pass on a path that carries so much; returns the probes that were sent."""
    probes: list[int] = []
    while size.next_at <= until:
        now = size.next_at
        probe = size.due(now)
        if probe is None:
            continue
        probes.append(probe)
        if probe <= carries:
            size.probed(probe, now)
    return probes


@pytest.mark.parametrize("carries", PACKET_SIZES)
def test_the_search_ends_with_what_the_path_carries(carries: int) -> None:
    size = PacketSize()
    size.start(10.0)
    probes = search(size, carries, 10.0, 60.0)
    assert size.packet_bytes == carries
    assert size.packet_bytes == PACKET_SIZES[0] or probes[-1] == carries
    larger = [probe for probe in PACKET_SIZES if probe > carries]
    assert all(probes.count(probe) == 3 for probe in larger)


def test_the_widest_path_is_found_with_the_first_probe() -> None:
    size = PacketSize()
    assert size.next_at == inf
    size.start(1.0)
    assert size.due(0.9) is None
    assert size.due(1.0) == PACKET_SIZES[-1]
    assert size.due(1.5) is None
    assert size.probed(PACKET_SIZES[-1], 1.6)
    assert size.next_at == inf


@pytest.mark.parametrize("carries", [1188, 1432, 16_308])
def test_a_loopback_interface_is_searched_from_larger_packets_on(carries: int) -> None:
    size = PacketSize(LOOPBACK_SIZES)
    size.start(0.0)
    probes = search(size, carries, 0.0, 60.0)
    assert probes[0] == limits.PACKET_BYTES_MAX == 16_308
    assert size.packet_bytes == carries


def test_the_largest_packets_fit_a_record_and_four_of_them_a_buffer() -> None:
    assert limits.PACKET_BYTES_MAX % 4 == 0
    assert limits.PACKET_BYTES_MAX <= 2**14
    assert 4 * (limits.PACKET_BYTES_MAX + 65) <= 65_507


def test_a_path_that_grows_is_found_out_later() -> None:
    size = PacketSize()
    size.start(0.0)
    search(size, 1352, 0.0, 100.0)
    assert size.packet_bytes == 1352
    search(size, 1432, 100.0, 700.0)
    assert size.packet_bytes == 1432


def test_a_narrow_path_costs_a_few_probes_in_ten_minutes() -> None:
    size = PacketSize()
    size.start(0.0)
    probes = search(size, 1188, 0.0, 590.0)
    assert len(probes) == 3 * (len(PACKET_SIZES) - 1)


def test_silence_leads_back_to_the_smallest_and_to_a_new_search() -> None:
    size = PacketSize()
    assert not size.lost(0.0)
    size.start(0.0)
    search(size, 1432, 0.0, 1.0)
    assert size.lost(50.0)
    assert size.packet_bytes == PACKET_SIZES[0]
    assert size.due(60.0) is None
    search(size, 1412, 60.0, 200.0)
    assert size.packet_bytes == 1412


def test_an_answer_to_no_probe_changes_nothing() -> None:
    size = PacketSize()
    size.start(0.0)
    for answer in (0, 9000, 1188, -1):
        assert not size.probed(answer, 1.0)
    size.give_up()
    assert size.next_at == inf
    assert size.packet_bytes == PACKET_SIZES[0]
