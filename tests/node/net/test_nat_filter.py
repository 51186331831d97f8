"""A port behind an emulated NAT hears only addresses that it sent to lately."""

import asyncio
from typing import Any, cast

import pytest

from node.counters import Counters
from node.net.nat_filter import NatFilter
from node.net.udp.port import Arrival, PortUser
from protocol import limits
from protocol.addresses import Address

PEER = Address("192.0.2.2", 4001)
HELLO: Arrival = (b"hello", 5, tuple(PEER))


class FakePort:
    """Keeps what is sent, and how."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.full = True
        self.closed = False

    def sendto(self, *given: Any) -> None:
        self.sent.append(("sendto", *given))

    def send_segments(self, *given: Any) -> None:
        self.sent.append(("send_segments", *given))

    def send_whole(self, *given: Any) -> bool:
        self.sent.append(("send_whole", *given))
        return True

    def send_gathered(self, *given: Any) -> None:
        self.sent.append(("send_gathered", *given))

    def send_with_ttl(self, *given: Any) -> None:
        self.sent.append(("send_with_ttl", *given))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("192.0.2.1", 4001)}.get(name, default)


class User(PortUser):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.told: list[object] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append(transport)

    def burst_received(self, burst: list[Arrival]) -> None:
        assert burst
        self.arrivals += burst

    def error_received(self, exc: Exception) -> None:
        self.told.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", exc))

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class Scene:
    """A filter between a port and a user, and the time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.port, self.user, self.counters = FakePort(), User(), Counters()
        self.filter = NatFilter(self.user, lambda: self.now, self.counters)
        self.filter.connection_made(cast("Any", self.port))


def test_what_was_not_asked_for_is_dropped_and_counted() -> None:
    scene = Scene()
    joined = (bytes(25), 10, ("192.0.2.3", 1))
    scene.filter.burst_received([HELLO, joined])
    assert scene.user.arrivals == []
    assert scene.counters.refused == {"filtered_by_nat": 1 + 3}
    scene.filter.sendto(b"hi", PEER)
    scene.filter.burst_received([joined, HELLO, (b"", 0, ("192.0.2.2", 4002))])
    assert scene.user.arrivals == [HELLO]
    assert scene.counters.refused == {"filtered_by_nat": 4 + 4}
    assert scene.port.sent == [("sendto", b"hi", PEER)]


@pytest.mark.parametrize(
    ("way", "given"),
    [
        ("sendto", (b"x", PEER)),
        ("send_segments", (b"xx", 1, PEER)),
        ("send_gathered", ([b"x", b"x"], 1, PEER)),
        ("send_whole", (b"x", PEER)),
        ("send_with_ttl", (b"x", PEER, 2)),
    ],
)
def test_every_way_to_send_makes_a_mapping(way: str, given: tuple[Any, ...]) -> None:
    scene = Scene()
    assert getattr(scene.filter, way)(*given) in {None, True}
    assert scene.port.sent == [(way, *given)]
    scene.filter.burst_received([HELLO])
    assert scene.user.arrivals == [HELLO]


def test_a_mapping_ends_unless_it_is_used() -> None:
    scene = Scene()
    scene.filter.sendto(b"hi", PEER)
    scene.now += limits.NAT_MAPPING_S
    scene.filter.burst_received([HELLO])
    scene.filter.sendto(b"hi", PEER)
    scene.now += limits.NAT_MAPPING_S
    scene.filter.burst_received([HELLO])
    scene.now += 0.001
    scene.filter.burst_received([HELLO])
    assert scene.user.arrivals == [HELLO, HELLO]


def test_an_ipv6_source_is_the_address_that_was_sent_to() -> None:
    scene = Scene()
    scene.filter.sendto(b"hi", Address("2001:db8::2", 1))
    arrival = (b"x", 1, ("2001:db8::2", 1, 0, 0))
    scene.filter.burst_received([arrival])
    assert scene.user.arrivals == [arrival]


def test_mappings_are_bounded_and_the_longest_unused_goes_first() -> None:
    scene = Scene()
    scene.filter.sendto(b"hi", PEER)
    scene.filter.sendto(b"hi", Address("192.0.2.3", 1))
    scene.filter.sendto(b"hi", PEER)
    for port in range(1, limits.NAT_MAPPINGS):
        scene.filter.sendto(b"hi", Address("192.0.2.4", port))
    scene.filter.burst_received([HELLO, (b"x", 1, ("192.0.2.3", 1))])
    assert scene.user.arrivals == [HELLO]


def test_it_stands_for_each_side_to_the_other() -> None:
    scene = Scene()
    assert scene.user.told == [scene.filter]
    error = OSError()
    scene.filter.error_received(error)
    scene.filter.pause_writing()
    scene.filter.resume_writing()
    scene.filter.connection_lost(None)
    assert scene.user.told[1:] == [error, "pause", "resume", ("lost", None)]
    assert scene.filter.full
    assert scene.filter.get_extra_info("sockname") == ("192.0.2.1", 4001)
    assert not scene.filter.is_closing()
    scene.filter.close()
    assert scene.filter.is_closing()
    assert scene.port.closed
