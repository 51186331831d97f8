"""Against aiortc's RTCSctpTransport, in memory and in virtual time: a foreign implementation."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from aiortc import RTCDataChannel, RTCSctpTransport
from aiortc.rtcdatachannel import RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities

from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.events import (
    ChannelClosed,
    ChannelOpened,
    Closed,
    Connected,
    Event,
    MessageReceived,
)

LARGEST = 256 * 1024
SIZES = (0, 1, 3, 1159, 1160, 1161, 1173, 2400, 16384, 65536, LARGEST)
DELAY_S = 0.01


class Bridge:
    """Stands in for aiortc's DTLS transport and carries datagrams to our association."""

    state = "connected"

    def __init__(self, theirs: str, ours: Association, drop: Callable[[], bool]) -> None:
        self._role = theirs
        self.ours = ours
        self.events: list[Event] = []
        self._drop = drop
        self._loop = asyncio.get_running_loop()
        self._receiver: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _register_data_receiver(self, receiver: Any) -> None:
        self._receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self._receiver = None

    async def _send_data(self, data: bytes) -> None:
        if not self._drop():
            self._loop.call_later(DELAY_S, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        self.ours.receive(data, self._loop.time())
        self.flush()

    def flush(self) -> None:
        now = self._loop.time()
        self.events += self.ours.events()
        while datagrams := self.ours.datagrams_to_send(now):
            for datagram in datagrams:
                if not self._drop():
                    self._loop.call_later(DELAY_S, self._deliver, datagram)
        timer_at = self.ours.next_timer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if timer_at is not None:
            self._timer = self._loop.call_at(timer_at, self._on_timer)

    def _deliver(self, datagram: bytes) -> None:
        if self._receiver is not None:
            task = self._loop.create_task(self._receiver._handle_data(datagram))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _on_timer(self) -> None:
        self.ours.handle_timer(self._loop.time())
        self.flush()

    async def until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        deadline = self._loop.time() + seconds
        while not condition():
            assert self._loop.time() < deadline, "it never happened"
            await asyncio.sleep(0.01)

    def received(self) -> list[bytes]:
        return [event.data for event in self.events if isinstance(event, MessageReceived)]

    def has(self, kind: type[Event]) -> bool:
        return any(isinstance(event, kind) for event in self.events)


async def connected(role: Role, drop: Callable[[], bool] = lambda: False) -> tuple[Bridge, Any]:
    config = AssociationConfig(
        role, max_message_bytes=LARGEST, peer_max_message_bytes=LARGEST, packet_bytes=1188
    )
    ours = Association(config, Random(7))
    bridge = Bridge("server" if role is Role.CLIENT else "client", ours, drop)
    theirs = RTCSctpTransport(bridge)  # type: ignore[arg-type]
    ours.connect(asyncio.get_running_loop().time())
    await theirs.start(RTCSctpCapabilities(maxMessageSize=LARGEST), 5000)
    bridge.flush()
    await bridge.until(lambda: bridge.has(Connected) and theirs.state == "connected")
    return bridge, theirs


def messages() -> list[bytes]:
    random = Random(3)
    return [random.randbytes(size) for size in SIZES]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("loss", [0.0, 0.02])
async def test_we_open_and_both_send_messages_of_every_size(role: Role, loss: float) -> None:
    random = Random(5)
    bridge, theirs = await connected(role, lambda: random.random() < loss)
    arrived: list[bytes | str] = []
    channels: list[RTCDataChannel] = []

    @theirs.on("datachannel")  # type: ignore[untyped-decorator]
    def on_channel(channel: RTCDataChannel) -> None:
        channels.append(channel)
        channel.on("message", arrived.append)

    stream_id = bridge.ours.open_channel("label", protocol="proto")
    assert stream_id % 2 == role.value
    for message in messages():
        bridge.ours.send(stream_id, message, asyncio.get_running_loop().time())
    bridge.ours.send(stream_id, "grüße", 0.0)
    bridge.ours.send(stream_id, "", 0.0)
    bridge.flush()
    await bridge.until(lambda: len(arrived) == len(SIZES) + 2)
    assert arrived == [*messages(), "grüße", ""]
    assert (channels[0].label, channels[0].protocol) == ("label", "proto")
    assert channels[0].id == stream_id
    for message in messages():
        channels[0].send(message)
    await bridge.until(lambda: len(bridge.received()) == len(SIZES))
    assert bridge.received() == messages()
    channels[0].close()
    await bridge.until(lambda: bridge.has(ChannelClosed))
    await bridge.until(lambda: channels[0].readyState == "closed")
    await theirs.stop()
    await bridge.until(lambda: loss > 0 or bridge.has(Closed))


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("ordered", [True, False])
async def test_they_open_and_we_close(role: Role, ordered: bool) -> None:
    bridge, theirs = await connected(role)
    channel = RTCDataChannel(
        theirs, RTCDataChannelParameters(label="theirs", ordered=ordered, protocol="p")
    )
    await bridge.until(lambda: channel.readyState == "open")
    opened = next(event for event in bridge.events if isinstance(event, ChannelOpened))
    assert (opened.label, opened.protocol, opened.ordered) == ("theirs", "p", ordered)
    assert opened.by_peer
    arrived: list[bytes | str] = []
    channel.on("message", arrived.append)
    for number in range(30):
        channel.send(b"m%d" % number)
        bridge.ours.send(opened.stream_id, b"n%d" % number, 0.0)
    bridge.flush()
    await bridge.until(lambda: len(arrived) == 30 and len(bridge.received()) == 30)
    theirs_sent = [b"m%d" % number for number in range(30)]
    ours_sent = [b"n%d" % number for number in range(30)]
    if ordered:
        assert (bridge.received(), arrived) == (theirs_sent, ours_sent)
    assert sorted(bridge.received()) == sorted(theirs_sent)
    assert sorted(arrived) == sorted(ours_sent)
    bridge.ours.close_channel(opened.stream_id)
    bridge.flush()
    await bridge.until(lambda: channel.readyState == "closed" and bridge.has(ChannelClosed))
    bridge.ours.shutdown(asyncio.get_running_loop().time())
    bridge.flush()
    await bridge.until(lambda: theirs.state == "closed")


async def test_a_partially_reliable_channel_survives_loss() -> None:
    random = Random(11)
    lossy = [False]
    bridge, theirs = await connected(Role.CLIENT, lambda: lossy[0] and random.random() < 0.2)
    arrived: list[bytes] = []

    @theirs.on("datachannel")  # type: ignore[untyped-decorator]
    def on_channel(channel: RTCDataChannel) -> None:
        channel.on("message", arrived.append)

    stream_id = bridge.ours.open_channel("game", ordered=False, max_retransmits=0)
    bridge.flush()
    await bridge.until(lambda: bridge.has(ChannelOpened))
    lossy[0] = True
    loop = asyncio.get_running_loop()
    for number in range(200):
        bridge.ours.send(stream_id, number.to_bytes(2) * 700, loop.time())
        bridge.flush()
        await asyncio.sleep(0.005)
    lossy[0] = False
    bridge.ours.send(stream_id, b"last", loop.time())
    bridge.flush()
    await bridge.until(lambda: b"last" in arrived)
    assert 80 < len(arrived) < 201
    assert len(set(arrived)) == len(arrived)
    assert all(len(message) in (4, 1400) for message in arrived)
    await theirs.stop()
