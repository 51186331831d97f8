"""TLS of both sides. No authority signs anything: peer ids are proved within the stream."""

import hashlib
import ssl
from pathlib import Path

from node.streams.connection import StreamConnection
from protocol.errors import NotAuthentic
from protocol.streams.handshake import ALPN


def gateway_context(certificate: Path) -> ssl.SSLContext:
    """That of a gateway, which shows the certificate in this file. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    context.set_alpn_protocols([ALPN])
    context.num_tickets = 0
    return context


def shown_in(certificate: Path) -> bytes:
    """The fingerprint of the certificate in a file; empty if none is in it. Raises OSError."""
    pem = certificate.read_text("ascii")
    _, begin, rest = pem.partition(ssl.PEM_HEADER)
    if not begin:
        return b""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert((begin + rest).strip())).digest()


def client_context() -> ssl.SSLContext:
    """That of a client, which learns by the handshake after TLS who the gateway is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ALPN])
    return context


def check_alpn(connection: StreamConnection) -> ssl.SSLObject:
    """The connection's TLS; raises NotAuthentic unless both sides have named this protocol."""
    within: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    if within is None or within.selected_alpn_protocol() != ALPN:
        raise NotAuthentic("what answers there is no modswarm node, but a web server or a filter")
    return within


def shown_fingerprint(connection: StreamConnection) -> bytes:
    """SHA-256 of the certificate that the other side shows. Raises NotAuthentic."""
    shown = check_alpn(connection).getpeercert(binary_form=True)
    return hashlib.sha256(shown or b"").digest()
