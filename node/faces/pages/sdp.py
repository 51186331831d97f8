"""A page's offer as SDP, read into a description, and our answer written (RFC 8866, 8839, 8841).

Only the control API has it, as a browser describes itself in no other way: between nodes no SDP
travels. One section with a data channel is read, with all candidates in it. What a page may leave
to its browser and this node has no use for, such as extensions and `ice-options`, is passed over.
"""

import re
from dataclasses import dataclass
from typing import Final

from node.faces.api.errors import BadSdp
from node.links.channel.channel import SCTP_PORT
from protocol import limits
from protocol.addresses import Address, canonical
from protocol.description import FINGERPRINT_BYTES, Description, DtlsRole, IceCandidate
from protocol.errors import BadInput, Malformed
from protocol.ice.candidates import CandidateKind, priority
from protocol.turn.virtual import is_virtual

_SETUP: Final = {
    DtlsRole.ACTPASS: "actpass",
    DtlsRole.ACTIVE: "active",
    DtlsRole.PASSIVE: "passive",
}
_ROLES: Final = {word: role for role, word in _SETUP.items()}
_READ: Final = {
    "host": CandidateKind.HOST,
    "srflx": CandidateKind.SERVER_REFLEXIVE,
    "relay": CandidateKind.RELAYED,
}
_WRITTEN: Final = {CandidateKind.HOST: "host", CandidateKind.SERVER_REFLEXIVE: "srflx"}

_SECTION: Final = re.compile(r"application [0-9]{1,5} UDP/DTLS/SCTP webrtc-datachannel")
_MID: Final = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`{|}~-]{1,32}")
_DIGEST: Final = re.compile(rf"[0-9A-Fa-f]{{2}}(?::[0-9A-Fa-f]{{2}}){{{FINGERPRINT_BYTES - 1}}}")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_CANDIDATE: Final = re.compile(
    r"\S{1,32} (?P<component>[0-9]{1,3}) (?P<transport>\S{1,8}) (?P<priority>[0-9]{1,10})"
    r" (?P<host>\S{1,255}) (?P<port>[0-9]{1,5}) typ (?P<kind>[a-z]{1,8})(?: .*)?"
)
_ONCE: Final = ("ice-ufrag", "ice-pwd", "setup", "mid", "sctp-port", "max-message-size")
_MESSAGE_BYTES: Final = 65_536
"""What a side takes that names no `max-message-size` (RFC 8841, 6.1)."""


@dataclass(frozen=True, slots=True)
class PageSide:
    """What a page said of itself: `mid` names the section in the answer."""

    description: Description
    mid: str


def read(text: str) -> PageSide:
    """What an offer says, at most PAGE_SDP_CHARS long; raises BadSdp with what is wrong with it.

    Of its candidates the CANDIDATES best are kept whose address is an IP literal, over UDP. A
    browser that hides its addresses behind names (mDNS) is found by its checks (RFC 8445, 7.3.1.3).
    """
    once, prints, candidates = _attributes(_lines(text))
    if once.get("sctp-port", "") != str(SCTP_PORT):
        raise BadSdp(f"the offer has no a=sctp-port:{SCTP_PORT}")
    if _message_bytes(once) < limits.MESSAGE_BYTES:
        raise BadSdp(f"the page takes no message of {limits.MESSAGE_BYTES} bytes")
    if once.get("setup") not in _ROLES:
        raise BadSdp("the offer has no a=setup that is actpass, active or passive")
    if not _MID.fullmatch(once.get("mid", "")):
        raise BadSdp("the section has no a=mid")
    try:
        described = Description(
            once.get("ice-ufrag", ""),
            once.get("ice-pwd", ""),
            _fingerprint(prints),
            _ROLES[once["setup"]],
            _candidates(candidates),
        )
    except Malformed as error:
        raise BadSdp(str(error)) from None
    return PageSide(described, once["mid"])


def write(description: Description, mid: str) -> str:
    """The answer of a side of ours, whose candidates are all in it.

    Relayed ones are left out: they pair with those of other nodes alone (PROTOCOL.md, 12.3).
    """
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {mid}",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{mid}",
        f"a=ice-ufrag:{description.ufrag}",
        f"a=ice-pwd:{description.password}",
        f"a=fingerprint:sha-256 {description.fingerprint.hex(':').upper()}",
        f"a=setup:{_SETUP[DtlsRole(description.role)]}",
        f"a=sctp-port:{SCTP_PORT}",
        f"a=max-message-size:{limits.MESSAGE_BYTES}",
        *_candidate_lines(description.candidates),
        "a=end-of-candidates",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _lines(text: str) -> list[str]:
    if len(text) > limits.PAGE_SDP_CHARS:
        raise BadSdp(f"the offer is longer than {limits.PAGE_SDP_CHARS} characters")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if lines[0] != "v=0":
        raise BadSdp("that is no SDP, which begins with v=0")
    sections = [line[2:] for line in lines if line.startswith("m=")]
    if len(sections) != 1:
        raise BadSdp(
            f"the offer has {len(sections)} sections (m=), where one data channel is taken"
        )
    if not _SECTION.fullmatch(sections[0]):
        raise BadSdp("the offer's section is none of a data channel over UDP")
    return lines


def _attributes(lines: list[str]) -> tuple[dict[str, str], set[str], list[str]]:
    """What stands once, the fingerprints, and the candidates; the section overrules the session."""
    levels: list[dict[str, str]] = [{}]
    prints: list[set[str]] = [set()]
    candidates: list[str] = []
    for line in lines:
        if line.startswith("m="):
            levels.append({})
            prints.append(set())
        name, _, value = line.removeprefix("a=").partition(":")
        if not line.startswith("a="):
            continue
        if name == "ice-lite":
            raise BadSdp("the page says that its ICE is lite, which no browser's is")
        if name in _ONCE:
            if name in levels[-1]:
                raise BadSdp(f"a={name} stands there twice")
            levels[-1][name] = value
        elif name == "fingerprint":
            prints[-1].add(value)
        elif name == "candidate":
            candidates.append(value)
    if len(candidates) > limits.PAGE_CANDIDATES:
        raise BadSdp(f"the offer has more than {limits.PAGE_CANDIDATES} candidates")
    return levels[0] | levels[1], prints[1] or prints[0], candidates


def _message_bytes(once: dict[str, str]) -> int:
    """The largest message that the page takes; 0 says that any is taken."""
    told = once.get("max-message-size", str(_MESSAGE_BYTES))
    if not _NUMBER.fullmatch(told):
        raise BadSdp("a=max-message-size is no number of bytes")
    return int(told) or limits.MESSAGE_BYTES


def _fingerprint(prints: set[str]) -> bytes:
    """The SHA-256 of the page's certificate; raises BadSdp."""
    if not prints:
        raise BadSdp("the offer has no a=fingerprint, so the page's DTLS would prove nothing")
    digests = [
        rest
        for kind, _, rest in (one.partition(" ") for one in prints)
        if kind.lower() == "sha-256"
    ]
    if len(digests) != 1:
        raise BadSdp("the offer must have one fingerprint by sha-256")
    if not _DIGEST.fullmatch(digests[0]):
        raise BadSdp("the fingerprint is no SHA-256 in hex")
    return bytes.fromhex(digests[0].replace(":", ""))


def _candidates(values: list[str]) -> tuple[IceCandidate, ...]:
    found: dict[Address, tuple[int, IceCandidate]] = {}
    for value in values:
        parts = _CANDIDATE.fullmatch(value)
        if parts is None:
            raise BadSdp(f"not a candidate: {value[:80]!a}")
        if parts["component"] != "1" or parts["transport"].lower() != "udp":
            continue
        if parts["kind"] in _READ and (read_one := _candidate(parts)) is not None:
            found.setdefault(read_one.address, (int(parts["priority"]), read_one))
    ranked = sorted(found.values(), key=lambda one: -one[0])
    return tuple(one for _, one in ranked[: limits.CANDIDATES])


def _candidate(parts: re.Match[str]) -> IceCandidate | None:
    """One with an address that a node may send to; None for names, and for others."""
    try:
        address = canonical(parts["host"], int(parts["port"]))
        return None if is_virtual(address) else IceCandidate(_READ[parts["kind"]], address)
    except (BadInput, Malformed, ValueError):
        return None


def _candidate_lines(candidates: tuple[IceCandidate, ...]) -> list[str]:
    lines = []
    for place, one in enumerate(candidates):
        kind = CandidateKind(one.kind)
        if kind not in _WRITTEN or is_virtual(one.address):
            continue
        host, port = one.address
        based = "" if kind is CandidateKind.HOST else " raddr 0.0.0.0 rport 0"
        rank = priority(kind, place)
        lines.append(f"a=candidate:{place} 1 udp {rank} {host} {port} typ {_WRITTEN[kind]}{based}")
    return lines
