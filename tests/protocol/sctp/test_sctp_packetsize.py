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


def _narrowed(carries: int) -> PacketSize:
    """A search that has found large packets, and has just heard that they are swallowed."""
    size = PacketSize()
    size.start(0.0)
    search(size, 1432, 0.0, 1.0)
    size.narrowed(10.0, had_carried=True)
    search(size, carries, 10.0, 30.0)
    assert size.packet_bytes == carries
    return size


def test_a_size_in_doubt_is_small_at_once_and_probed_at_once() -> None:
    size = PacketSize()
    size.start(0.0)
    search(size, 1424, 0.0, 10.0)
    size.narrowed(20.0, had_carried=True)
    assert size.packet_bytes == PACKET_SIZES[0]
    assert size.next_at == 20.0
    assert size.due(20.0) == 1424, "what was in use, and nothing larger"
    assert size.probed(1424, 20.1)


def test_doubts_that_probes_answer_cost_no_wait_however_many() -> None:
    size = PacketSize()
    size.start(0.0)
    search(size, 1432, 0.0, 1.0)
    for step in range(1, 50):
        size.narrowed(10.0 * step, had_carried=True)
        assert size.next_at == 10.0 * step
        search(size, 1432, 10.0 * step, 10.0 * step + 1)
        assert size.packet_bytes == 1432


def test_a_path_that_narrows_again_and_again_is_asked_after_longer_and_longer() -> None:
    size = _narrowed(1392)
    waits = []
    now = 100.0
    for _ in range(6):
        size.narrowed(now, had_carried=True)
        waits.append(size.next_at - now)
        now = size.next_at
        search(size, 1188, now, now + 20.0)
        assert size.probed(1352, now + 21.0)
        now += 30.0
    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    size.narrowed(now + 700.0, had_carried=True)
    assert size.next_at == now + 700.0, "long ago"


def test_a_size_whose_probes_pass_and_data_do_not_waits_as_well() -> None:
    size = PacketSize()
    size.start(0.0)
    waits = []
    now = 0.0
    for _ in range(4):
        search(size, 1432, now, now + 1)
        assert size.packet_bytes == 1432
        now += 2.0
        size.narrowed(now, had_carried=False)
        waits.append(size.next_at - now)
        now = size.next_at
    assert waits == [60.0, 120.0, 240.0, 480.0]


def test_another_path_has_no_past() -> None:
    size = _narrowed(1188)
    size.path_changed(PACKET_SIZES)
    size.start(40.0)
    search(size, 1432, 40.0, 41.0)
    size.narrowed(50.0, had_carried=True)
    assert size.next_at == 50.0
