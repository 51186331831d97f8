"""What a DTLS handshake of ours agrees to: aiortc's terms, but AEAD alone and one handshake.

aiortc offers CBC with SHA-1 as well, whose records are authenticated before they are encrypted
(RFC 7457, 2.3). And as OpenSSL's client it answers each HelloRequest with a new handshake, in which
the peer may show another certificate, which is not compared with the fingerprint any more.
"""

from typing import Any, Final

from aiortc import RTCCertificate
from OpenSSL import SSL

_CIPHERS: Final = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
"""The first is one that every WebRTC endpoint has (RFC 8827, 6.5)."""

_DTLS_1_2: Final = 0xFEFD

RECORD_OVERHEAD_BYTES_MAX: Final = 37
"""A record's header, AES-GCM's explicit nonce and its tag (RFC 5288, 3)."""


class LinkCertificate(RTCCertificate):
    """A certificate with which links are made. aiortc asks it for each handshake's terms."""

    def _create_ssl_context(self, srtp_profiles: list[Any]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles=srtp_profiles)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_cipher_list(_CIPHERS)
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        return context
