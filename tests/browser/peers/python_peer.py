"""Serves a peer of aiortc's API: a JSON request a line on stdin, a JSON answer a line on stdout.

python python_peer.py aiortc|webrtc.aiortc
"""

import asyncio
import functools
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import aioice.ice


@functools.cache
def payload(index: int, size: int) -> bytes:
    """The binary message of this size at this place."""
    return bytes((at * 31 + (at >> 8) + index * 7) & 255 for at in range(size))


class Peer:
    """One connection, its channels by label, and what was heard on each."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.connection = library.RTCPeerConnection(library.RTCConfiguration(iceServers=[]))
        self._changed = asyncio.Event()
        self.connection.on("datachannel", self._adopt)
        self.connection.on("icegatheringstatechange", self._changed.set)
        self.channels: dict[str, Any] = {}
        self.messages: dict[str, list[int | str]] = {}

    def _adopt(self, channel: Any) -> None:
        heard: list[int | str] = []

        def on_message(data: bytes | str) -> None:
            is_right = isinstance(data, str) or data == payload(len(heard), len(data))
            heard.append(data if isinstance(data, str) else len(data) if is_right else -1)
            self._changed.set()

        channel.on("message", on_message)
        channel.on("open", self._changed.set)
        channel.on("close", self._changed.set)
        self.channels[channel.label] = channel
        self.messages[channel.label] = heard
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _is(self, label: str, state: str) -> bool:
        return label in self.channels and self.channels[label].readyState == state

    async def open(self, label: str, options: dict[str, Any]) -> None:
        self._adopt(self.connection.createDataChannel(label, **options))

    async def offer(self) -> str:
        return await self._gathered(await self.connection.createOffer())

    async def answer(self, sdp: str) -> str:
        await self.connection.setRemoteDescription(
            self._library.RTCSessionDescription(sdp=sdp, type="offer")
        )
        return await self._gathered(await self.connection.createAnswer())

    async def accept(self, sdp: str) -> None:
        await self.connection.setRemoteDescription(
            self._library.RTCSessionDescription(sdp=sdp, type="answer")
        )

    async def _gathered(self, description: Any) -> str:
        await self.connection.setLocalDescription(description)
        await self._until(lambda: self.connection.iceGatheringState == "complete")
        return str(self.connection.localDescription.sdp)

    async def send(self, label: str, messages: list[int | str]) -> None:
        await self._until(lambda: self._is(label, "open"))
        for index, message in enumerate(messages):
            data = message if isinstance(message, str) else payload(index, message)
            self.channels[label].send(data)

    async def heard(self, label: str, count: int) -> list[int | str]:
        await self._until(lambda: len(self.messages.get(label, ())) >= count)
        return self.messages[label]

    async def terms(self, label: str) -> list[Any]:
        await self._until(lambda: self._is(label, "open"))
        channel = self.channels[label]
        limits = (channel.maxRetransmits, channel.maxPacketLifeTime)
        return [channel.ordered, channel.protocol, *limits]

    async def close(self, label: str) -> None:
        self.channels[label].close()

    async def closed(self, label: str) -> None:
        await self._until(lambda: self._is(label, "closed"))

    async def end(self) -> None:
        await self.connection.close()


async def serve(library: Any) -> None:
    """Answer requests until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer = Peer(library)
    while line := await reader.readline():
        request = json.loads(line)
        value = await getattr(peer, request.pop("action"))(**request)
        sys.stdout.write(json.dumps({"value": value}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    asyncio.run(serve(importlib.import_module(sys.argv[1])))
