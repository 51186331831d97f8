"""What our DTLS agrees to, with aiortc's own as peer."""

import contextlib
from typing import Any

import pytest
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES
from OpenSSL import SSL

from node.links.secure.dtls_records import Records
from node.links.secure.dtls_terms import RECORD_OVERHEAD_BYTES_MAX, LinkCertificate
from tests.node.links.dtls_ends import end_of, exchange, flights

AES, CHACHA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"
CBC = "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA"

either_begins = pytest.mark.parametrize("we_begin", [True, False], ids=["client", "server"])


def pair(we_begin: bool, ciphers: str = "") -> tuple[Any, Any]:
    """Our end and a stock one that offers these ciphers, or all of aiortc's, before they speak."""
    stock = RTCCertificate.generateCertificate()._create_ssl_context(srtp_profiles=SRTP_PROFILES)
    if ciphers:
        stock.set_cipher_list(f"{ciphers}:@SECLEVEL=0".encode())
    return (
        end_of(LinkCertificate.generateCertificate(), client=we_begin),
        end_of(stock, client=not we_begin),
    )


def shake(ours: Any, stock: Any, we_begin: bool) -> None:
    exchange(*((ours, stock) if we_begin else (stock, ours)))


@either_begins
@pytest.mark.parametrize("cipher", [AES, CHACHA])
def test_stock_ends_that_have_an_aead_cipher_link(cipher: str, we_begin: bool) -> None:
    ours, stock = pair(we_begin, cipher)
    shake(ours, stock, we_begin)
    assert ours.get_cipher_name() == stock.get_cipher_name() == cipher
    assert ours.get_protocol_version_name() == "DTLSv1.2"
    assert len(Records(ours).seal([b"x"])) <= 1 + RECORD_OVERHEAD_BYTES_MAX


@either_begins
@pytest.mark.parametrize("cipher", CBC)
def test_ends_that_have_no_aead_cipher_are_refused(cipher: str, we_begin: bool) -> None:
    ours, stock = pair(we_begin, cipher)
    with pytest.raises(SSL.Error, match=r"no shared cipher|handshake failure"):
        shake(ours, stock, we_begin)


@either_begins
def test_a_peer_that_asks_for_another_handshake_gets_none_and_the_link_stays(
    we_begin: bool,
) -> None:
    """It could show a certificate that its signal did not vouch for, and each costs us much."""
    ours, stock = pair(we_begin)
    shake(ours, stock, we_begin)
    for _ in range(3):
        requests = request_handshake(stock)
        for request in requests:
            packets: list[bytes] = []
            records = Records(ours)
            records.open(request, len(request), packets)
            assert packets == []
            assert len(records.left_over()) <= len(request)
    assert ours.total_renegotiations() == 0
    assert len(Records(ours).seal([b"still here"])) > len(b"still here")


def request_handshake(stock: Any) -> list[bytes]:
    """The HelloRequest of a server, or a client's ClientHello."""
    if not stock.renegotiate_pending():
        stock.renegotiate()
    with contextlib.suppress(SSL.WantReadError):
        stock.do_handshake()
    return flights(stock)
