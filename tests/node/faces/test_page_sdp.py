"""What the control API reads of a page's SDP, what it refuses by which words, and its answer."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.faces.api.errors import BadSdp
from node.faces.pages import sdp
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity
from protocol.turn.virtual import relayed_address
from tests.identities import SEEDS
from tests.node.faces.page_offer import CANDIDATE, FINGERPRINT, LINES, PASSWORD, UFRAG, sdp_of

PRINT = f"a=fingerprint:sha-256 {FINGERPRINT.hex(':').upper()}"


def without(beginning: str) -> tuple[str, ...]:
    return tuple(line for line in LINES if not line.startswith(beginning))


def test_an_offer_of_chromium_is_read() -> None:
    side = sdp.read(sdp_of(*LINES))
    candidate = IceCandidate(CandidateKind.HOST, Address("192.0.2.5", 50000))
    assert side.mid == "0"
    assert side.description == Description(
        UFRAG, PASSWORD, FINGERPRINT, DtlsRole.ACTPASS, (candidate,)
    )
    assert sdp.read("\n".join(LINES)) == side, "with bare line feeds"
    session_level = [LINES[0], PRINT, *without("a=fingerprint")[1:]]
    assert sdp.read(sdp_of(*session_level)) == side


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("v=1", *LINES[1:]), "no SDP"),
        ((), "no SDP"),
        (without("m="), "0 sections"),
        ((*LINES, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"), "2 sections"),
        ((*without("m="), "m=audio 9 UDP/TLS/RTP/SAVPF 111"), "none of a data channel"),
        ((*without("m="), "m=application 9 TCP/DTLS/SCTP webrtc-datachannel"), "none of a data"),
        (without("a=fingerprint"), "no a=fingerprint"),
        ((*without("a=fingerprint"), "a=fingerprint:sha-1 " + ":".join(["AB"] * 20)), "by sha-256"),
        ((*without("a=fingerprint"), "a=fingerprint:sha-256 " + ":".join(["AB"] * 20)), "in hex"),
        ((*LINES, "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)), "one fingerprint"),
        ((*without("a=fingerprint"), "a=fingerprint:sha-256"), "in hex"),
        ((*LINES, "a=ice-lite"), "lite"),
        ((LINES[0], "a=ice-lite", *LINES[1:]), "lite"),
        ((*LINES, "a=ice-ufrag:abcd"), "twice"),
        (without("a=ice-ufrag"), "user name"),
        ((*without("a=ice-ufrag"), "a=ice-ufrag:" + "a" * 33), "user name"),
        (without("a=ice-pwd"), "password"),
        (without("a=setup"), "a=setup"),
        ((*without("a=setup"), "a=setup:holdconn"), "a=setup"),
        (without("a=mid"), "a=mid"),
        ((*without("a=mid"), "a=mid:0\u2028a=x"), "a=mid"),
        (without("a=sctp-port"), "a=sctp-port:5000"),
        ((*without("a=max-message-size"), "a=max-message-size:1000"), "no message of 65536"),
        ((*without("a=max-message-size"), "a=max-message-size:\u0661"), "no number"),
        ((*LINES, "a=candidate:1 1 udp"), "not a candidate"),
        ((*LINES, *[CANDIDATE] * limits.PAGE_CANDIDATES), "more than 64 candidates"),
        ((*LINES, *[CANDIDATE] * 1000), "longer than 16384"),
        ((*LINES, "a=x:" + "y" * 1_000_000), "longer than 16384"),
    ],
)
def test_what_is_no_offer_of_a_data_channel_is_refused(lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadSdp, match=said):
        sdp.read(sdp_of(*lines))


def test_only_addresses_that_a_node_may_send_to_are_kept_the_best_of_them() -> None:
    relayed = relayed_address(bytes(20), bytes(20))
    passed_over = (
        "a=candidate:2 1 udp 1 8f1c7b1e-0f1d.local 50000 typ host",
        "a=candidate:3 1 tcp 9 192.0.2.9 9 typ host tcptype active",
        "a=candidate:3 2 udp 9 192.0.2.9 51000 typ host",
        "a=candidate:4 1 udp 9 224.0.0.1 50000 typ host",
        "a=candidate:4 1 udp 9 0.0.0.0 50000 typ host",
        "a=candidate:4 1 udp 9 192.0.2.9 0 typ host",
        "a=candidate:4 1 udp 9 192.0.2.9 65536 typ host",
        "a=candidate:4 1 udp 9 192.0.2.9 50000 typ prflx",
        "a=candidate:4 1 udp 9 mods.example 50000 typ host",
        f"a=candidate:4 1 udp 9 {relayed.host} {relayed.port} typ relay",
    )
    none = sdp.read(sdp_of(*without("a=candidate"), *passed_over)).description.candidates
    assert none == ()
    many = [f"a=candidate:5 1 udp {rank} 192.0.2.{rank} 50000 typ srflx" for rank in range(1, 31)]
    random.Random(1).shuffle(many)
    kept = sdp.read(sdp_of(*without("a=candidate"), *many, *many)).description.candidates
    hosts = [one.address.host for one in kept]
    assert hosts == [f"192.0.2.{rank}" for rank in range(30, 30 - limits.CANDIDATES, -1)]


def test_an_answer_has_all_that_a_browser_needs_and_no_virtual_address() -> None:
    candidates = (
        IceCandidate(CandidateKind.HOST, Address("192.0.2.1", 4001)),
        IceCandidate(CandidateKind.SERVER_REFLEXIVE, Address("2001:db8::1", 4001)),
        IceCandidate(CandidateKind.RELAYED, relayed_address(bytes(20), Identity(SEEDS[0]).peer_id)),
    )
    ours = Description("ours", "a" * 22, FINGERPRINT, DtlsRole.ACTIVE, candidates)
    written = sdp.write(ours, "0")
    assert "\r\na=setup:active\r\n" in written
    assert "\r\na=max-message-size:65536\r\n" in written
    side = sdp.read(written)
    assert side.mid == "0"
    assert side.description == Description(
        "ours", "a" * 22, FINGERPRINT, DtlsRole.ACTIVE, candidates[:2]
    )


LINE = st.one_of(
    st.sampled_from((*LINES, "a=ice-lite", "m=x", "a=candidate:", "")),
    st.text(max_size=60),
    st.builds("a=candidate:{} 1 udp {} {} {} typ host".format, *[st.text(max_size=8)] * 4),
)


@given(st.one_of(st.text(max_size=300), st.lists(LINE, max_size=40).map(lambda it: sdp_of(*it))))
def test_any_text_is_an_offer_or_a_refusal(text: str) -> None:
    try:
        side = sdp.read(text)
    except BadSdp:
        return
    assert sdp.read(sdp.write(side.description, side.mid)).description.ufrag


@given(st.integers(0, len(LINES) - 1), st.integers(0, 80), st.characters())
def test_an_offer_with_one_other_letter_is_an_offer_or_a_refusal(
    line: int, place: int, letter: str
) -> None:
    lines = list(LINES)
    lines[line] = lines[line][:place] + letter + lines[line][place + 1 :]
    try:
        side = sdp.read(sdp_of(*lines))
    except BadSdp:
        return
    assert side.description.fingerprint
