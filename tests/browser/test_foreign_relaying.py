"""Chromium, which is libwebrtc, and werift link with us through our STUN and TURN server alone."""

import asyncio

import pytest

from protocol.description import DtlsRole
from tests.browser import sdp
from tests.browser.foreign import MISSING, start
from tests.browser.our_side import OurPath, OurSide
from tests.node.relay.real_relay import real_relay, rest_credentials

pytestmark = pytest.mark.real_loop

PEERS = [
    pytest.param(name, marks=pytest.mark.skipif(bool(MISSING[name]), reason=f"{MISSING[name]}"))
    for name in ("chromium", "werift")
]

LIMIT_S = 60.0
SIZES: list[int | str] = [1, 1160, 65_536, "grüße"]


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("we_offer", [True, False], ids=["offerer", "answerer"])
async def test_a_foreign_peer_links_through_our_relay(name: str, we_offer: bool) -> None:
    username, password = rest_credentials(name)
    path = OurPath()
    async with asyncio.timeout(LIMIT_S), real_relay() as relay, start(name) as peer:
        server = f"{relay.address.host}:{relay.address.port}"
        turn = {"urls": f"turn:{server}", "username": username, "credential": password}
        try:
            await peer.do("relayedBy", servers=[{"urls": f"stun:{server}"}, turn])
            await peer.do("open", label="theirs", options={})
            if we_offer:
                theirs = await peer.do("answer", sdp=await path.describe(DtlsRole.ACTPASS))
                dtls = await path.secure(theirs)
            else:
                theirs = await peer.do("offer")
                await peer.do("accept", sdp=await path.describe(DtlsRole.ACTIVE))
                dtls = await path.secure(theirs, DtlsRole.ACTIVE)
            described, _ = sdp.read(theirs)
            relayed = {one.address for one in described.candidates}
            assert relayed, "it named what the relay gave it"
            ours = OurSide(dtls, path.environment)
            try:
                await ours.connect()
                await peer.do("send", label="theirs", messages=SIZES)
                await ours.until(lambda: any(len(got) == 4 for got in ours.heard.values()))
                assert SIZES in ours.heard.values()
            finally:
                ours.end()
            if name == "chromium":  # the other tells no statistics of ICE
                kind, host, port = await peer.do("pair")
                assert kind == "relay"
                assert (host, port) in relayed
            assert relay.service.allocations == len(relayed)
            assert relay.service.bytes_today > 65_536
            await peer.do("end")
        finally:
            await path.close()
