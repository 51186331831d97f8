"""Peers that cannot be reached, and links on which nothing more arrives."""

from dataclasses import replace
from typing import Any

from node.links.link import Link
from node.net.endpoint import Endpoint
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.noise_session import EPHEMERAL_BYTES, ephemeral_key


def dead_end_of(offer: Description, port: int = 9) -> Description:
    candidate = IceCandidate(CandidateKind.HOST, Address("127.0.0.1", port))
    session = offer.session or ephemeral_key(bytes(EPHEMERAL_BYTES))
    return replace(offer, role=DtlsRole.ACTIVE, candidates=(candidate,), session=session)


class _Mute:
    """An endpoint that sends nothing."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def sendto(self, *_given: object) -> None:
        """Nothing leaves."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)


def silence(link: Link) -> None:
    """Drop all of a link that this side sends or gets, as if its machine had lost power."""
    ice: Any = link.channel.dtls.ice  # type: ignore[attr-defined]
    for heard in ("stun_received", "dtls_received", "records_received"):
        setattr(ice, heard, lambda *_: None)
    ice._endpoint = _Mute(ice._endpoint)
    ice._port = None
