"""Peers that cannot be reached, and links on which nothing more arrives."""

from dataclasses import replace
from typing import Any

from node.links.link import Link
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind


def dead_end_of(offer: Description, port: int = 9) -> Description:
    candidate = IceCandidate(CandidateKind.HOST, Address("127.0.0.1", port))
    return replace(offer, role=DtlsRole.ACTIVE, candidates=(candidate,))


def silence(link: Link) -> None:
    """Drop everything that this side sends or gets, as if its machine had lost power."""
    ice: Any = link.channel.dtls.ice  # type: ignore[attr-defined]
    for protocol in ice.agent._protocols:
        protocol.burst_received = lambda _burst: None
        protocol.transport.sendto = lambda _data, _addr=None: None
        protocol.transport.send_segments = lambda _buffer, _size, _addr: None
