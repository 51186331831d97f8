"""Our own UDP port on loopback: every way in which a kernel may refuse, and none may hurt."""

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from node.counters import Counters
from node.environment import udp_socket
from node.net.udp import kernel_port, loop_port, offload
from node.net.udp.beat import Beat
from node.net.udp.kernel_port import KernelPort
from node.net.udp.loop_port import LoopPort
from node.net.udp.opening import open_port
from node.net.udp.port import Arrival, Port, PortUser, split
from tests.node.links.link_network import until

pytestmark = pytest.mark.real_loop

Scenario = Callable[[], Coroutine[Any, Any, None]]

linux_only = pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="options of Linux")


class User(PortUser):
    """Keeps what a port tells it."""

    def __init__(self) -> None:
        self.bursts: list[list[Arrival]] = []
        self.errors: list[Exception] = []
        self.pauses: list[bool] = []
        self.lost = False

    @property
    def datagrams(self) -> list[bytes]:
        arrivals = [arrival for burst in self.bursts for arrival in burst]
        return [one for buffer, size, _ in arrivals for one in split(buffer, size)]

    def burst_received(self, burst: list[Arrival]) -> None:
        self.bursts.append(burst)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def pause_writing(self) -> None:
        self.pauses.append(True)

    def resume_writing(self) -> None:
        self.pauses.append(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Socket(socket.socket):
    """A socket whose kernel can be told to refuse: each call takes one error off the list."""

    refusals: list[int]
    options: list[tuple[int, int, int]]
    calls: list[str]

    def bound(self) -> "Socket":
        self.refusals, self.options, self.calls = [], [], []
        self.setblocking(False)
        self.bind(("127.0.0.1", 0))
        return self

    def _refuse(self, call: str) -> None:
        self.calls.append(call)
        if self.refusals:
            number = self.refusals.pop(0)
            raise OSError(number, "refused") if number != errno.EAGAIN else BlockingIOError

    def sendto(self, *given: Any) -> int:
        self._refuse("sendto")
        return super().sendto(*given)

    def sendmsg(self, *given: Any) -> int:
        self._refuse("sendmsg")
        return super().sendmsg(*given)

    def setsockopt(self, *given: Any) -> None:
        self.options.append(given)
        super().setsockopt(*given)


def a_socket() -> Socket:
    return Socket(socket.AF_INET, socket.SOCK_DGRAM).bound()


class Ends:
    """Two ports; the first has the socket that can refuse."""

    def __init__(self) -> None:
        self.socket = a_socket()
        self.sender, self.user = User(), User()
        self.counters = Counters()
        self.port = KernelPort(self.socket, self.sender, self.counters, Beat(self.counters))
        self.other = KernelPort(a_socket(), self.user, Counters(), Beat(Counters()))
        self.where = self.other.get_extra_info("sockname")

    async def close(self) -> None:
        self.port.close()
        self.other.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert self.sender.lost
        assert self.user.lost
        assert self.socket.fileno() == -1


def is_full(port: Port) -> bool:
    """Asked anew each time, whatever mypy remembers."""
    return port.full


async def arrived(user: User, count: int) -> list[bytes]:
    await until(lambda: len(user.datagrams) >= count)
    return user.datagrams


BUFFER = b"".join(bytes([n]) * 1000 for n in range(40)) + b"the last"
DATAGRAMS = list(split(BUFFER, 1000))


@pytest.mark.parametrize("cuts", [True, False], ids=["cut by the kernel", "cut here"])
async def test_what_is_sent_is_counted_once_whatever_sends_it(
    cuts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not cuts:
        monkeypatch.setattr(offload, "can_cut", lambda _: False)
    ends = Ends()
    ends.port.send_segments(BUFFER, 1000, ends.where)
    ends.port.send_gathered([BUFFER[:1500], BUFFER[1500:]], 1000, ends.where)
    ends.port.sendto(b"one", ends.where)
    ends.port.send_whole(b"whole", ends.where)
    ends.port.send_with_ttl(b"opener", ends.where, 2)
    expected = [*DATAGRAMS, *DATAGRAMS, b"one", b"whole", b"opener"]
    assert await arrived(ends.user, len(expected)) == expected
    assert ends.counters.datagrams_sent == len(expected)
    assert ends.counters.bytes_sent == sum(map(len, expected))
    await ends.close()


@pytest.mark.parametrize("joins", [True, False], ids=["joined by the kernel", "joined here"])
@pytest.mark.parametrize("cuts", [True, False], ids=["cut by the kernel", "cut here"])
async def test_a_buffer_arrives_as_its_datagrams(
    joins: bool, cuts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not joins:
        monkeypatch.setattr(offload, "ask_to_join", lambda _: False)
    if not cuts:
        monkeypatch.setattr(offload, "can_cut", lambda _: False)
    ends = Ends()
    ends.port.send_segments(BUFFER, 1000, ends.where)
    ends.port.send_segments(BUFFER, 1000, ends.where)
    ends.port.sendto(b"", ends.where)
    ends.port.sendto(b"longer than that" * 80, ends.where)
    ends.port.sendto(b"x", ends.where)
    expected = [*DATAGRAMS, *DATAGRAMS, b"", b"longer than that" * 80, b"x"]
    assert await arrived(ends.user, len(expected)) == expected
    source = ends.port.get_extra_info("sockname")
    assert {one[2] for burst in ends.user.bursts for one in burst} == {source}
    assert len(ends.user.bursts[0]) < len(expected)
    await ends.close()


@pytest.mark.parametrize("joins", [True, False], ids=["joined by the kernel", "joined here"])
async def test_datagrams_of_all_sizes_from_two_sources_stay_what_they_were(
    joins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not joins:
        monkeypatch.setattr(offload, "ask_to_join", lambda _: False)
    ends, rng = Ends(), random.Random(7)
    others = [a_socket(), a_socket()]
    sent: dict[Any, list[bytes]] = {other.getsockname(): [] for other in others}
    sizes = (0, 1, 12, 1000, 1000, 1000, 1001, 40_000)
    for n in range(60):
        other = rng.choice(others)
        for _ in range(rng.randrange(1, 4)):
            datagram = bytes([n]) * rng.choice(sizes)
            other.sendto(datagram, ends.where)
            sent[other.getsockname()].append(datagram)
        if n % 10 == 9:  # the kernel's buffer is not asked for more than it grants
            await arrived(ends.user, sum(map(len, sent.values())))
    got: dict[Any, list[bytes]] = {source: [] for source in sent}
    for burst in ends.user.bursts:
        for buffer, size, source in burst:
            got[source].extend(split(buffer, size))
    assert got == sent
    for other in others:
        other.close()
    await ends.close()


@linux_only
@pytest.mark.parametrize("number", sorted(offload.UNUSABLE))
async def test_a_kernel_that_does_not_cut_is_asked_once(number: int) -> None:
    ends = Ends()
    ends.socket.refusals = [number]
    ends.port.send_segments(BUFFER, 1000, ends.where)
    ends.port.send_segments(BUFFER, 1000, ends.where)
    assert await arrived(ends.user, 2 * len(DATAGRAMS)) == DATAGRAMS * 2
    assert ends.socket.calls.count("sendmsg") == 1
    assert ends.sender.errors == []
    await ends.close()


@linux_only
async def test_segments_too_large_for_the_interface_leave_by_themselves_and_others_are_cut() -> (
    None
):
    """What was cut for a larger path is sent again by a relay, whose header makes it larger."""
    ends = Ends()
    ends.socket.refusals = [errno.EMSGSIZE]
    ends.port.send_segments(BUFFER, 1000, ends.where)
    ends.port.send_segments(BUFFER, 1000, ends.where)
    assert await arrived(ends.user, 2 * len(DATAGRAMS)) == DATAGRAMS * 2
    assert ends.socket.calls.count("sendmsg") == 2
    assert ends.sender.errors == []
    await ends.close()


async def test_what_the_kernel_does_not_take_now_leaves_later_and_in_order() -> None:
    ends = Ends()
    ends.socket.refusals = [errno.EAGAIN]
    ends.port.send_segments(BUFFER, 1000, ends.where)
    assert is_full(ends.port)
    ends.port.sendto(b"after it", ends.where)
    ends.socket.refusals = [errno.EAGAIN]  # and once more, when it seemed to be ready
    assert await arrived(ends.user, len(DATAGRAMS) + 1) == [*DATAGRAMS, b"after it"]
    assert not is_full(ends.port)
    assert ends.sender.pauses[0] is True
    assert ends.sender.pauses[-1] is False
    await ends.close()


async def test_a_buffer_of_which_the_kernel_took_a_part_is_not_sent_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(offload, "can_cut", lambda _: False)
    ends = Ends()
    send_one = ends.port._send_one
    taken = iter([True] * 5 + [False] + [True] * 100)

    def reluctant(data: bytes, addr: Any) -> bool:
        return next(taken) and send_one(data, addr)

    ends.port._send_one = reluctant  # type: ignore[method-assign]
    ends.port.send_segments(BUFFER, 1000, ends.where)
    assert await arrived(ends.user, len(DATAGRAMS)) == DATAGRAMS
    await ends.close()


async def test_the_queue_is_bounded() -> None:
    ends = Ends()
    ends.socket.refusals = [errno.EAGAIN]
    kept = kernel_port.QUEUE_BYTES_MAX // 60_000
    for n in range(kept + 3):
        ends.port.sendto(bytes([n]) * 60_000, ends.where)
    assert len(ends.sender.errors) == 3
    assert {type(error) for error in ends.sender.errors} == {BufferError}
    await arrived(ends.user, 1)
    ends.port.sendto(b"more", ends.where)
    await ends.close()


REFUSED = [errno.ENETUNREACH, errno.EMSGSIZE, errno.EPERM, errno.ENOBUFS]


@pytest.mark.parametrize("number", REFUSED, ids=map(errno.errorcode.get, REFUSED))
async def test_a_refused_datagram_is_told_and_survived(number: int) -> None:
    ends = Ends()
    ends.socket.refusals = [number]
    ends.port.sendto(b"lost", ends.where)
    ends.port.send_segments(BUFFER, 1000, ends.where)
    assert await arrived(ends.user, len(DATAGRAMS)) == DATAGRAMS
    assert [getattr(error, "errno", None) for error in ends.sender.errors] == [number]
    await ends.close()


async def test_a_datagram_too_long_for_udp_and_a_port_that_cannot_be_are_survived() -> None:
    ends = Ends()
    ends.port.sendto(bytes(70_000), ends.where)
    ends.port.sendto(b"x", ("127.0.0.1", 70_000))
    ends.port.sendto(b"fine", ends.where)
    assert await arrived(ends.user, 1) == [b"fine"]
    assert len(ends.sender.errors) == 2
    await ends.close()


@pytest.mark.parametrize("joins", [True, False], ids=["joined by the kernel", "joined here"])
async def test_a_flood_is_read_in_bounded_bursts_and_others_get_their_turn(
    joins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_port, "BURST_BYTES_MAX", 20_000)
    if not joins:
        monkeypatch.setattr(offload, "ask_to_join", lambda _: False)
    ends = Ends()
    for n in range(60):
        ends.socket.sendto(bytes([n]) * 1000, ends.where)
    turns = 0
    bursts = 0

    def all_here() -> bool:
        nonlocal turns, bursts
        turns += 1
        assert len(ends.user.bursts) - bursts <= 1
        bursts = len(ends.user.bursts)
        return len(ends.user.datagrams) >= 60

    await until(all_here, step_s=0.0)
    sizes = [sum(len(one[0]) for one in burst) for burst in ends.user.bursts]
    assert max(sizes) < 20_000
    assert len(sizes) >= 6
    assert turns >= len(sizes)
    await ends.close()


PARTS = [part for one in DATAGRAMS for part in (one[:4], memoryview(one)[4:])]


@pytest.mark.parametrize("cuts", [True, False], ids=["cut by the kernel", "cut here"])
async def test_a_buffer_in_parts_is_gathered(cuts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not cuts:
        monkeypatch.setattr(offload, "can_cut", lambda _: False)
    ends = Ends()
    ends.port.send_gathered(PARTS, 1000, ends.where)
    ends.port.send_gathered([b"one ", b"datagram"], 1000, ends.where)
    assert await arrived(ends.user, len(DATAGRAMS) + 1) == [*DATAGRAMS, b"one datagram"]
    assert ("sendmsg" in ends.socket.calls) is cuts
    await ends.close()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINVAL, errno.EMSGSIZE])
async def test_what_is_not_gathered_now_leaves_later_or_cut_here(number: int) -> None:
    ends = Ends()
    ends.socket.refusals = [number, number]
    ends.port.send_gathered(PARTS, 1000, ends.where)
    ends.port.send_gathered([b"after", b" it"], 1000, ends.where)
    assert await arrived(ends.user, len(DATAGRAMS) + 1) == [*DATAGRAMS, b"after it"]
    assert ends.sender.errors == []
    await ends.close()
    ends.port.send_gathered([b"late"], 1000, ends.where)


@linux_only
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("with_control", [True, False], ids=["by control message", "by option"])
@pytest.mark.parametrize("port_kind", ["ours", "the loop's"])
async def test_one_datagram_has_a_time_to_live_and_the_next_the_usual_one(
    family: socket.AddressFamily,
    with_control: bool,
    port_kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not with_control:
        monkeypatch.setattr(offload, "_TTL_OF_DATAGRAM", {})
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    asked, told = (
        ((41, 51, 1), (41, 52)) if family == socket.AF_INET6 else ((0, 12, 1), (0, 2))
    )  # IPV6_RECVHOPLIMIT and IPV6_HOPLIMIT, IP_RECVTTL and IP_TTL
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0))
        peer.settimeout(5.0)
        peer.setsockopt(*asked)
        user = User()
        port = await open_port(
            user, host, 0, udp_socket if port_kind == "ours" else None, Counters(), Beat(Counters())
        )
        port.send_with_ttl(b"opener", peer.getsockname(), 2)
        port.sendto(b"check", peer.getsockname())
        seen = []
        for _ in range(2):
            data, control, _flags, _source = peer.recvmsg(99, 99)
            ttls = [value for level, kind, value in control if (level, kind) == told]
            seen.append((data, int.from_bytes(ttls[0], "little")))
        assert seen == [(b"opener", 2), (b"check", 64)]
        port.close()
        await until(lambda: user.lost)
        port.send_with_ttl(b"late", peer.getsockname(), 2)


async def test_an_opener_is_dropped_where_it_would_have_to_wait() -> None:
    ends = Ends()
    ends.socket.refusals = [errno.EAGAIN]
    ends.port.send_with_ttl(b"not now", ends.where, 64)
    ends.socket.refusals = [errno.EAGAIN]
    ends.port.sendto(b"queued", ends.where)
    ends.port.send_with_ttl(b"behind it", ends.where, 64)
    ends.port.send_with_ttl(b"never", ends.where, 300)
    assert await arrived(ends.user, 1) == [b"queued"]
    ends.socket.refusals = [errno.ENETUNREACH]
    ends.port.send_with_ttl(b"lost", ends.where, 64)
    assert [getattr(error, "errno", None) for error in ends.sender.errors] == [errno.ENETUNREACH]
    await ends.close()


async def test_empty_datagrams_are_not_lost_behind_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "ask_to_join", lambda _: False)
    ends = Ends()
    sent = [b"one", b"two", b"", b"six", b"", b"", b"ten"]
    for datagram in sent:
        ends.socket.sendto(datagram, ends.where)
    assert await arrived(ends.user, len(sent)) == sent
    await ends.close()


@linux_only
async def test_only_a_probe_may_not_be_cut_on_the_way() -> None:
    ends = Ends()
    assert ends.port.send_whole(bytes(1400), ends.where)
    discover = [value for level, name, value in ends.socket.options if (level, name) == (0, 10)]
    assert discover == [0, 3, 0]  # IP_PMTUDISC_DONT, PROBE for one datagram, DONT
    ends.socket.refusals = [errno.EMSGSIZE]
    assert ends.port.send_whole(bytes(1500), ends.where)
    assert ends.socket.options[-1][-1] == 0
    assert await arrived(ends.user, 1) == [bytes(1400)]
    await ends.close()


async def test_a_machine_without_such_an_option_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "_WHOLE", {})
    ends = Ends()
    assert not ends.port.send_whole(bytes(1400), ends.where)
    await ends.close()


def test_other_systems_get_plain_datagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_socket() as own_socket:
        for system in ("darwin", "win32"):
            monkeypatch.setattr("sys.platform", system)
            assert not offload.can_cut(own_socket)
            assert not offload.ask_to_join(own_socket)


async def test_nothing_happens_after_closing() -> None:
    ends = Ends()
    ends.socket.refusals = [errno.EAGAIN]
    ends.port.sendto(b"queued", ends.where)
    await ends.close()
    ends.port.sendto(b"late", ends.where)
    assert not ends.port.send_whole(b"late", ends.where)
    assert ends.user.datagrams == []


def test_a_loop_that_watches_no_sockets_gets_its_own_transport() -> None:
    class Proactor(asyncio.SelectorEventLoop):
        def add_reader(self, *_: Any) -> None:  # type: ignore[override]
            raise NotImplementedError

    async def scenario() -> None:
        sender, user = User(), User()

        counters = Counters()
        port = await open_port(
            sender, "127.0.0.1", 0, lambda *_: a_socket(), counters, Beat(counters)
        )
        other = await open_port(user, "127.0.0.1", 0, None, counters, Beat(counters))
        assert isinstance(port, LoopPort)
        assert isinstance(other, LoopPort)
        port.send_segments(BUFFER, 1000, other.get_extra_info("sockname"))
        assert port.send_whole(b"whole", other.get_extra_info("sockname"))
        assert await arrived(user, len(DATAGRAMS) + 1) == [*DATAGRAMS, b"whole"]
        assert counters.datagrams_sent == len(DATAGRAMS) + 1
        assert counters.bytes_sent == len(BUFFER) + len(b"whole")
        assert not is_full(port)
        port.pause_writing()
        assert is_full(port)
        port.resume_writing()
        for one in (port, other):
            one.close()
            assert one.is_closing()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sender.lost
        assert sender.pauses == [True, False]

    with asyncio.Runner(loop_factory=Proactor) as runner:
        runner.run(scenario())


async def test_an_address_that_is_not_here_leaves_no_socket_behind() -> None:
    with pytest.raises(OSError, match="assign"):
        await open_port(User(), "192.0.2.250", 0, udp_socket, Counters(), Beat(Counters()))


async def test_a_held_port_wakes_nothing_and_hands_over_all_once_it_is_polled() -> None:
    ends = Ends()
    ends.other.hold()
    for n in range(5):
        ends.socket.sendto(bytes([n]) * 100, ends.where)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ends.user.bursts == []
    ends.other.poll()
    assert len(ends.user.bursts) == 1
    assert len(ends.user.datagrams) == 5
    ends.other.poll()
    assert len(ends.user.bursts) == 1
    ends.socket.sendto(b"waits", ends.where)
    ends.other.release()
    assert (await arrived(ends.user, 6))[-1] == b"waits"
    ends.other.hold()
    await ends.close()
    ends.other.release()
    assert ends.socket.fileno() == -1


async def test_a_port_of_the_loop_keeps_what_arrives_while_held_in_order_and_up_to_a_bound() -> (
    None
):
    user = User()
    port = await open_port(user, "127.0.0.1", 0, None, Counters(), Beat(Counters()))
    assert isinstance(port, LoopPort)
    source = ("127.0.0.1", 9)
    port.hold()
    for n in range(3):
        port.datagram_received(bytes([n]), source)
    assert user.bursts == []
    port.poll()
    assert [one[0] for one in user.bursts[0]] == [b"\0", b"\1", b"\2"]
    port.datagram_received(b"held", source)
    port.release()
    port.datagram_received(b"later", source)
    await asyncio.sleep(0)
    port.datagram_received(b"at once", source)
    assert user.datagrams[3:] == [b"held", b"later", b"at once"]
    port.hold()
    for _ in range(2 * loop_port._HELD_BYTES_MAX // 60_000):
        port.datagram_received(bytes(60_000), source)
        assert port._arrived_bytes <= loop_port._HELD_BYTES_MAX
    port.close()
    await until(lambda: user.lost)
