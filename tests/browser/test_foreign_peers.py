"""Our SCTP with stock aiortc, libwebrtc, werift and Chromium, as offerer and as answerer.

Each peer runs in a process of its own and in real time, over the node's ICE and DTLS on loopback.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from node.environment import Environment
from node.links.channel.channel import LABEL, STREAM
from node.links.channel.native_channel import create_channel
from node.links.secure.dtls import DtlsPath
from protocol.description import DtlsRole
from protocol.sctp.events import ChannelClosed, ChannelOpened
from tests.browser.foreign import MISSING, Foreign, start
from tests.browser.our_side import LARGEST_BYTES, OurPath, OurSide
from tests.browser.peers.python_peer import payload

pytestmark = pytest.mark.real_loop

MESSAGES: list[int | str] = [
    *(0, 1, 3, 1159, 1160, 1161, 2400, 16384, 65535, 65536, LARGEST_BYTES),
    *("", "grüße", "x" * 70_000),
]
WITHOUT_EMPTY = [message for message in MESSAGES if message not in (0, "")]
LIMIT_S = 60.0

PEERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(bool(missing), reason=f"{name} is missing: {missing}")
    )
    for name, missing in MISSING.items()
]
every_peer = pytest.mark.parametrize("name", PEERS)
either_offers = pytest.mark.parametrize("we_offer", [True, False], ids=["offerer", "answerer"])


@contextlib.asynccontextmanager
async def secured(
    name: str, we_offer: bool, label: str, **channel: Any
) -> AsyncIterator[tuple[DtlsPath, Environment, Foreign]]:
    """DTLS between us and a peer that has opened a channel of this label."""
    path = OurPath()
    async with asyncio.timeout(LIMIT_S), start(name) as peer:
        try:
            await peer.do("open", label=label, options=channel)
            if we_offer:
                answer = await peer.do("answer", sdp=await path.describe(DtlsRole.ACTPASS))
                dtls = await path.secure(answer)
            else:
                offer = await peer.do("offer")
                await peer.do("accept", sdp=await path.describe(DtlsRole.ACTIVE))
                dtls = await path.secure(offer, DtlsRole.ACTIVE)
            yield dtls, path.environment, peer
            await peer.do("end")
        finally:
            await path.close()


@contextlib.asynccontextmanager
async def connected(
    name: str, we_offer: bool, **channel: Any
) -> AsyncIterator[tuple[OurSide, Foreign]]:
    """The same with an association of ours on that path; the peer's channel is "theirs"."""
    async with secured(name, we_offer, "theirs", **channel) as (dtls, environment, peer):
        ours = OurSide(dtls, environment)
        try:
            await ours.connect()
            yield ours, peer
        finally:
            ours.end()


def opened(ours: OurSide, label: str) -> int | None:
    """The stream of a channel that the association has announced."""
    for event in ours.events:
        if isinstance(event, ChannelOpened) and event.label == label:
            return event.stream_id
    return None


@every_peer
@either_offers
async def test_messages_of_every_size_both_ways_on_channels_of_either(
    name: str, we_offer: bool
) -> None:
    async with connected(name, we_offer) as (ours, peer):
        await ours.until(lambda: opened(ours, "theirs") is not None)
        streams = {"theirs": opened(ours, "theirs"), "ours": ours.association.open_channel("ours")}
        for label, stream_id in streams.items():
            assert stream_id is not None
            ours.send(stream_id, MESSAGES)
            assert await peer.do("heard", label=label, count=len(MESSAGES)) == MESSAGES
            # werift counts an empty message and sends nothing, so that its stream stands still.
            theirs = WITHOUT_EMPTY if name == "werift" else MESSAGES
            await peer.do("send", label=label, messages=theirs)
            assert await ours.heard_on(stream_id, len(theirs)) == theirs


@every_peer
@either_offers
async def test_channels_close_from_either_side(name: str, we_offer: bool) -> None:
    async with connected(name, we_offer) as (ours, peer):
        await ours.until(lambda: opened(ours, "theirs") is not None)
        theirs, mine = opened(ours, "theirs"), ours.association.open_channel("mine")
        assert theirs is not None
        ours.send(mine, [100])
        await peer.do("heard", label="mine", count=1)
        for stream_id in (theirs, mine):
            if stream_id == mine:
                ours.association.close_channel(mine)
                ours.flush()
                await peer.do("closed", label="mine")
            else:
                await peer.do("close", label="theirs")
            await ours.until(lambda at=stream_id: ChannelClosed(at) in ours.events)  # type: ignore[misc]
        again = ours.association.open_channel("again")
        ours.send(again, [5])
        assert await peer.do("heard", label="again", count=1) == [5]


def without_candidates(description: str) -> str:
    """The same SDP, as of a peer that names its addresses late or never."""
    lines = description.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("a=candidate", "a=end-of-")))


@every_peer
@either_offers
@pytest.mark.parametrize("silent", ["ours", "theirs"])
async def test_one_side_may_name_no_address(name: str, we_offer: bool, silent: str) -> None:
    """Its checks are all that tells the other where it is: also those before our answer."""
    if silent == "ours" and name in ("chromium", "hiding"):
        pytest.skip("Chromium names no address that our loopback reaches")
    path = OurPath()
    hide = {silent: without_candidates}
    ours, theirs = hide.get("ours", str), hide.get("theirs", str)
    async with asyncio.timeout(LIMIT_S), start(name) as peer:
        try:
            await peer.do("open", label="theirs", options={})
            if we_offer:
                offer = await path.describe(DtlsRole.ACTPASS)
                await path.secure(theirs(await peer.do("answer", sdp=ours(offer))))
            else:
                offer = await peer.do("offer")
                await peer.do("accept", sdp=ours(await path.describe(DtlsRole.ACTIVE)))
                await path.secure(theirs(offer), DtlsRole.ACTIVE)
            await peer.do("end")
        finally:
            await path.close()


@every_peer
async def test_terms_of_channels_are_understood_by_both(name: str) -> None:
    async with connected(name, True, ordered=False, maxRetransmits=3, protocol="p") as (ours, peer):
        await ours.until(lambda: opened(ours, "theirs") is not None)
        announced = next(event for event in ours.events if isinstance(event, ChannelOpened))
        # werift forgets that a channel with a limit is unordered.
        assert (announced.ordered, announced.protocol) == (name == "werift", "p")
        assert announced.max_retransmits == 3
        ours.association.open_channel("lossy", ordered=False, max_retransmits=2, protocol="q")
        ours.association.open_channel("brief", max_lifetime_ms=500)
        ours.flush()
        assert await peer.do("terms", label="lossy") == [False, "q", 2, None]
        assert await peer.do("terms", label="brief") == [True, "", None, 500]


@every_peer
async def test_a_peer_that_ends_is_noticed(name: str) -> None:
    async with connected(name, True) as (ours, peer):
        await ours.until(lambda: opened(ours, "theirs") is not None)
        await peer.do("end")
        await ours.until(lambda: bool(ours.lost) or ours.association.over)


@every_peer
@either_offers
async def test_the_channel_of_a_link_carries_bytes_and_ends_with_its_peer(
    name: str, we_offer: bool
) -> None:
    sizes: list[int | str] = [1, 1000, 65_536, 65_535, 20_000] * 4
    async with secured(name, we_offer, LABEL, negotiated=True, id=STREAM) as (
        dtls,
        environment,
        peer,
    ):
        channel = create_channel(dtls, environment.rng)
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        channel.receiver = arrived.put_nowait
        await channel.open()
        for index, size in enumerate(sizes):
            channel.send(payload(index, int(size)))
        assert await peer.do("heard", label=LABEL, count=len(sizes)) == sizes
        await peer.do("send", label=LABEL, messages=sizes)
        for index, size in enumerate(sizes):
            assert await arrived.get() == payload(index, int(size))
        await peer.do("end")
        assert await channel.closed
