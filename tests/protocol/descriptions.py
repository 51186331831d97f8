"""Descriptions for tests of what carries them."""

from protocol import limits
from protocol.addresses import Address
from protocol.description import LINK_ID_BYTES, Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.noise_session import SESSION_ANSWER_BYTES
from protocol.overlay.contacts import Contact
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind


def largest_description(where: Address) -> Description:
    """A description with as much of everything as it may hold."""
    contact = Contact.at(b"k" * limits.KEY_BYTES, where)
    witness = Contact.at(b"k" * limits.KEY_BYTES, Address("203.0.113.7", 4001))
    return Description(
        "u" * limits.ICE_USERNAME_CHARS,
        "p" * limits.ICE_PASSWORD_CHARS,
        bytes(32),
        DtlsRole.ACTPASS,
        (IceCandidate(CandidateKind.HOST, where),) * limits.CANDIDATES,
        features=limits.DESCRIPTION_FEATURES,
        nat=NatReport(
            NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, True, -256),
            limits.PORT_MAX,
            int(1000 * limits.PORT_SAMPLE_AGE_S),
            int(60 * limits.PORT_RATE_MAX),
        ),
        relays=(contact,) * limits.RELAYS_NAMED,
        witnesses=(witness,) * limits.WITNESSES,
        sctp_init=bytes(limits.SCTP_INIT_BYTES),
        session=bytes(SESSION_ANSWER_BYTES),
        link=bytes(LINK_ID_BYTES),
    )
