"""One end of a data channel of libwebrtc (`wrtc` of PyPI), as peer.py is of ours."""

import asyncio
import json
import os
import sys
import time
from importlib import import_module
from typing import Any

from scripts.benchmarks.link.peer import Counted, read_lines, say

webrtc: Any = import_module("webrtc")
_MESSAGE_BYTES = 65536
_HIGH_WATER_BYTES = 4 * 2**20
_LOW_WATER_BYTES = 2**20


async def describe(connection: Any, description: Any) -> dict[str, str]:
    """Take our own description, with all candidates, which need no server here."""
    gathered = asyncio.Event()

    def changed(*_: Any) -> None:
        if connection.ice_gathering_state == "complete":
            gathered.set()

    connection.on("icegatheringstatechange", changed)
    await connection.set_local_description(description)
    changed()
    await gathered.wait()
    own = connection.local_description
    return {"type": str(own.type.value), "sdp": own.sdp}


def session(description: Any) -> Any:
    """A description of the peer's, as the library wants it."""
    return webrtc.RTCSessionDescription(webrtc.RTCSessionDescriptionInit(**description))


async def feed(channel: Any) -> None:
    """Send for ever, holding so much in the channel's buffer."""
    low = asyncio.Event()
    channel.buffered_amount_low_threshold = _LOW_WATER_BYTES
    channel.on("bufferedamountlow", lambda *_: low.set())
    message = os.urandom(_MESSAGE_BYTES)
    while True:
        while channel.buffered_amount < _HIGH_WATER_BYTES:
            channel.send(message)
        low.clear()
        if channel.buffered_amount > _LOW_WATER_BYTES:
            await low.wait()


async def main(*, sends: bool) -> None:
    """Connect, then send or receive until the input ends."""
    lines = await read_lines()
    connection = webrtc.RTCPeerConnection()
    terms = webrtc.RTCDataChannelInit(negotiated=True, id=0)
    channel = connection.create_data_channel("bench", terms)
    counted, opened = Counted(), asyncio.Event()
    channel.on("open", lambda *_: opened.set())
    channel.on("message", lambda event: counted.take(event.data))
    if sends:
        say(await describe(connection, await connection.create_offer()))
        await connection.set_remote_description(session(json.loads(await lines.readline())))
    else:
        await connection.set_remote_description(session(json.loads(await lines.readline())))
        say(await describe(connection, await connection.create_answer()))
    await opened.wait()
    say("open")
    sending = asyncio.ensure_future(feed(channel)) if sends else None
    while await lines.readline():
        say([time.perf_counter(), time.process_time(), counted.received_bytes])
    if sending is not None:
        sending.cancel()
    connection.close()


if __name__ == "__main__":
    import_module("webrtc.loopback").allow_loopback()
    asyncio.run(main(sends=json.loads(sys.argv[1])["sends"]))
