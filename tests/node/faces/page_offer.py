"""The offer of a web page, as a browser and the module that pages use would make it."""

import time
from typing import Any

from node.faces.pages.offers import SIGNED_KIND, signed_part
from protocol.description import Description, DtlsRole
from protocol.identity import Identity, PeerId
from protocol.noise_session import ephemeral_key
from tests.identities import SEEDS

UFRAG, PASSWORD = "x7Qz", "4Fh2pKq9sLw0Zr+ty/Bn3dVu"
FINGERPRINT = bytes(range(32))
PAGE = Identity(SEEDS[9])
EPHEMERAL = bytes(range(1, 33))

CANDIDATE = "a=candidate:1 1 udp 2122260223 192.0.2.5 50000 typ host generation 0"

LINES = (
    "v=0",
    "o=- 7 2 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "a=extmap-allow-mixed",
    "a=msid-semantic: WMS",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    CANDIDATE,
    f"a=ice-ufrag:{UFRAG}",
    f"a=ice-pwd:{PASSWORD}",
    "a=ice-options:trickle",
    f"a=fingerprint:sha-256 {FINGERPRINT.hex(':').upper()}",
    "a=setup:actpass",
    "a=mid:0",
    "a=sctp-port:5000",
    "a=max-message-size:262144",
)
"""As Chromium writes it."""


def sdp_of(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def page_body(
    callee: PeerId | None = None,
    *,
    identity: Identity = PAGE,
    issued: int | None = None,
    offer_id: bytes = bytes(16),
    described: Description | None = None,
    sdp: str = "",
    ephemeral: bytes = EPHEMERAL,
) -> dict[str, Any]:
    """The body of a request, signed for the node of `callee`; by default the one of most tests."""
    issued = int(time.time()) if issued is None else issued
    session = ephemeral_key(ephemeral)
    side = described or Description(UFRAG, PASSWORD, FINGERPRINT, DtlsRole.ACTPASS, ())
    signing = Description(
        *(side.ufrag, side.password, side.fingerprint, side.role, ()), session=session
    )
    callee = Identity(SEEDS[0]).peer_id if callee is None else callee
    part = signed_part(identity.public_key, callee, offer_id, issued, signing)
    return {
        "key": identity.public_key.hex(),
        "offer_id": offer_id.hex(),
        "issued": issued,
        "session": session.hex(),
        "signature": identity.sign(SIGNED_KIND, part).hex(),
        "sdp": sdp or sdp_of(*LINES),
    }
