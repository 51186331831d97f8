"""Our description of a link as SDP and back, for peers that speak nothing else (RFC 8841).

Only tests need it: between our own nodes an offer is no SDP.
"""

from collections.abc import Iterator

from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import Malformed
from protocol.ice.candidates import CandidateKind, priority

SETUP = {DtlsRole.ACTPASS: "actpass", DtlsRole.ACTIVE: "active", DtlsRole.PASSIVE: "passive"}
_KINDS = {"host": CandidateKind.HOST, "relay": CandidateKind.RELAYED}
_ROLES = {word: role for role, word in SETUP.items()}


def write(description: Description, max_message_bytes: int) -> str:
    """One section with a data channel, all candidates in it."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        f"a=ice-ufrag:{description.ufrag}",
        f"a=ice-pwd:{description.password}",
        f"a=fingerprint:sha-256 {description.fingerprint.hex(':').upper()}",
        f"a=setup:{SETUP[DtlsRole(description.role)]}",
        "a=sctp-port:5000",
        f"a=max-message-size:{max_message_bytes}",
        *map(_candidate_line, range(len(description.candidates)), description.candidates),
        "a=end-of-candidates",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _candidate_line(position: int, candidate: IceCandidate) -> str:
    host, port = candidate.address
    rank = priority(candidate.kind, position)
    return f"a=candidate:{position} 1 udp {rank} {host} {port} typ host"


def read(sdp: str) -> tuple[Description, int]:
    """Return what the peer described, and the largest message that it takes (0: any)."""
    fields = dict(_attributes(sdp))
    prints = [value.split() for name, value in _attributes(sdp) if name == "fingerprint"]
    digest = next(digest for kind, digest in prints if kind.lower() == "sha-256")
    description = Description(
        fields["ice-ufrag"],
        fields["ice-pwd"],
        bytes.fromhex(digest.replace(":", "")),
        _ROLES[fields["setup"]],
        tuple(_candidates(sdp)),
    )
    return description, int(fields.get("max-message-size", 65536))


def _attributes(sdp: str) -> Iterator[tuple[str, str]]:
    for line in sdp.splitlines():
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            yield name, value


def _candidates(sdp: str) -> Iterator[IceCandidate]:
    """UDP host candidates, and those of relays; the loopback has no others."""
    for name, value in _attributes(sdp):
        if name != "candidate":
            continue
        _, _, transport, _, host, port, _, kind, *_ = value.split()
        if transport.lower() == "udp" and kind in _KINDS:
            try:
                yield IceCandidate(_KINDS[kind], Address(host, int(port)))
            except (Malformed, ValueError):
                continue
