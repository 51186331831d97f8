"""Records between two OpenSSL connections in memory: in bulk, and with whatever among them."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from node.links.secure.dtls import _groups
from node.links.secure.dtls_records import CUT_BYTES, Records
from node.links.secure.dtls_terms import LinkCertificate
from node.net.udp.offload import BUFFER_BYTES_MAX, SEGMENTS_MAX
from tests.node.links.dtls_ends import end_of, exchange


def connected() -> tuple[Records, Records]:
    """Two ends after their handshake."""
    one, other = (
        end_of(LinkCertificate.generateCertificate(), client=client) for client in (True, False)
    )
    exchange(one, other)
    return Records(one), Records(other)


def opened(records: Records, buffer: bytes, size: int) -> list[bytes]:
    packets: list[bytes] = []
    records.open(buffer, size, packets)
    return packets


def test_records_of_one_size_come_out_as_one_buffer_and_back() -> None:
    one, other = connected()
    rng = random.Random(1)
    for count, size, last in ((1, 1, 1), (44, 1432, 1432), (44, 1432, 7), (7, 9000, 8999)):
        packets = [*(rng.randbytes(size) for _ in range(count - 1)), rng.randbytes(last)]
        sealed = one.seal(packets)
        assert len(sealed) == sum(map(len, packets)) + 37 * count
        record_bytes = one.size_of_first(sealed)
        assert record_bytes == len(packets[0]) + 37
        assert opened(other, sealed, record_bytes) == packets


GARBAGE = {
    "zeros": bytes(137),
    "noise": random.Random(5).randbytes(137),
    "not authentic": b"\x17\xfe\xfd\0\1\0\0\0\0\0\x99\0\x7c" + bytes(124),
    "an old epoch": b"\x17\xfe\xfd\0\0\0\0\0\0\0\x99\0\x7c" + bytes(124),
    "a length beyond the datagram": b"\x17\xfe\xfd\0\1\0\0\0\0\0\x98\xff\xff" + bytes(124),
    "a length short of the datagram": b"\x17\xfe\xfd\0\1\0\0\0\0\0\x97\0\x01" + bytes(124),
    "an alert in the clear": b"\x15\xfe\xfd\0\0\0\0\0\0\0\x99\0\2\2\x28" + bytes(122),
    "a ClientHello in the clear": b"\x16\xfe\xfd\0\0\0\0\0\0\0\x99\0\x7c\1" + bytes(123),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_among_records_takes_none_along(garbage: str) -> None:
    one, other = connected()
    for place in (0, 1, 5, 19):
        packets = [bytes([n]) * 100 for n in range(20)]
        sealed = one.seal(packets)
        at = place * 137
        mixed = sealed[:at] + GARBAGE[garbage] + sealed[at:]
        assert opened(other, mixed, 137) == packets
    assert opened(one, other.seal([b"and back"]), 45) == [b"and back"]


def test_records_that_come_twice_or_late_are_taken_once() -> None:
    one, other = connected()
    sealed = [one.seal([b"%d" % n]) for n in range(3)]
    assert opened(other, sealed[1] * 3, len(sealed[1])) == [b"1"]
    assert opened(other, sealed[0], len(sealed[0])) == [b"0"]
    assert opened(other, sealed[2] + sealed[0], len(sealed[2])) == [b"2"]


def test_several_records_in_one_datagram_are_all_read() -> None:
    one, other = connected()
    sealed = one.seal([b"a", b"bb"]) + one.seal([b"ccc"])
    assert opened(other, sealed, len(sealed)) == [b"a", b"bb", b"ccc"]


@pytest.mark.parametrize("size", [1, CUT_BYTES, CUT_BYTES + 1, 16_308])
def test_a_packet_that_aiortc_has_begun_to_read_is_whole(size: int) -> None:
    one, other = connected()
    packet = random.Random(size).randbytes(size)
    packets: list[bytes] = []
    other.open_rest(_begun(other, one.seal([packet]) + one.seal([b"behind"])), packets)
    assert packets == [packet, b"behind"]
    sealed = one.seal([b"next"])
    assert opened(other, sealed, len(sealed)) == [b"next"]


def test_what_another_has_left_behind_makes_nothing_late() -> None:
    one, other = connected()
    assert len(_begun(other, one.seal([bytes(16_308)]))) == CUT_BYTES
    for number in range(3):
        sealed = one.seal([b"%d" % number])
        assert opened(other, sealed, len(sealed))[-1] == b"%d" % number


def _begun(records: Records, datagram: bytes) -> bytes:
    """What aiortc reads of it."""
    raw: Any = records._connection
    raw.bio_write(datagram)
    return bytes(raw.recv(CUT_BYTES))


def test_a_close_notify_among_records_is_reported_after_them() -> None:
    one, other = connected()
    sealed = one.seal([b"last words"])
    raw: Any = one._connection
    raw.shutdown()
    alert = one.left_over()
    packets: list[bytes] = []
    with pytest.raises(SSL.ZeroReturnError):
        other.open(sealed + alert, len(sealed), packets)
    assert packets == [b"last words"]
    with pytest.raises(SSL.Error):
        one.seal([b"after the end"])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=3000), st.integers(1, 1500))
def test_any_bytes_are_harmless(buffer: bytes, size: int) -> None:
    one, other = _PAIR
    assert opened(other, buffer, size) == []
    assert opened(other, one.seal([b"fine"]), 41) == [b"fine"]


_PAIR = connected()


@given(st.lists(st.sampled_from([1, 28, 700, 1188, 1432, 9000]), max_size=300))
def test_groups_keep_the_order_and_fit_a_buffer_that_can_be_cut(sizes: list[int]) -> None:
    packets = [bytes(size) for size in sizes]
    groups = list(_groups(packets))
    assert [packet for group in groups for packet in group] == packets
    for group in groups:
        assert len(group) <= SEGMENTS_MAX
        assert {len(packet) for packet in group[:-1]} <= {len(group[0])}
        assert len(group[-1]) <= len(group[0])
        assert sum(len(packet) + 65 for packet in group) <= BUFFER_BYTES_MAX
    assert len(list(_groups([bytes(1432)] * 86))) == 2
