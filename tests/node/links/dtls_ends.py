"""Two ends of DTLS in memory: OpenSSL's connections, and the datagrams between them."""

import contextlib
from typing import Any

from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES
from OpenSSL import SSL

_HEADER_BYTES = 13
_FLIGHTS = 6


def end_of(own: RTCCertificate | SSL.Context, *, client: bool) -> Any:
    """An end with this certificate, or these terms, that has said nothing yet."""
    if isinstance(own, RTCCertificate):
        own = own._create_ssl_context(srtp_profiles=SRTP_PROFILES)
    made = SSL.Connection(own)
    if client:
        made.set_connect_state()
    else:
        made.set_accept_state()
    return made


def flights(connection: Any) -> list[bytes]:
    """What it has to send, a record a datagram."""
    datagrams: list[bytes] = []
    while True:
        try:
            flight = connection.bio_read(1 << 16)
        except SSL.WantReadError:
            return datagrams
        while flight:
            end = _HEADER_BYTES + int.from_bytes(flight[11:_HEADER_BYTES])
            datagrams.append(flight[:end])
            flight = flight[end:]


def exchange(client: Any, server: Any) -> None:
    """Run the handshake of both; raises SSL.Error where one refuses."""
    datagrams = _step(client)
    for near in (server, client) * (_FLIGHTS // 2):
        answers = []
        for datagram in datagrams:
            near.bio_write(datagram)
            answers += _step(near)
        datagrams = answers


def _step(connection: Any) -> list[bytes]:
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return flights(connection)
