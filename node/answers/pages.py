"""What web pages get that open a link with this node."""

from dataclasses import dataclass
from typing import Annotated

from node.answers.marks import AsHex, ShownPeerId


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """The answer to a page's offer: what its RTCPeerConnection and its session need of this node.

    The link opens once the page has proved its identity by the session.
    """

    peer_id: ShownPeerId
    key: Annotated[bytes, AsHex()]
    """The public key of this node, 32 bytes, of which its peer id is the hash."""
    session: Annotated[bytes, AsHex()]
    """The second message of the Noise handshake, 48 bytes."""
    sdp: str
    """The answer, with all candidates in it."""


@dataclass(frozen=True, slots=True)
class PageServer:
    """A TURN server, as an RTCIceServer."""

    urls: tuple[str, ...]
    username: str
    credential: str


@dataclass(frozen=True, slots=True)
class PageServers:
    """The TURN servers that this node may give to pages; none unless its settings name relays."""

    ice_servers: tuple[PageServer, ...]
    expires_in_s: int
    """A link by such a server ends then at the latest."""
