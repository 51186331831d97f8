"""Every cause has one sentence and its advice; each failed attempt has the cause that is true."""

import pytest

from protocol.addresses import Address
from protocol.causes.cause import EXPLANATIONS, Cause
from protocol.causes.failed_checks import cause_of_failed_checks, expected_of, side_of
from protocol.causes.tried import KnownSide, TriedPair
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import CallFailed, LinkFailed, NotFound
from protocol.ice.candidates import CandidateKind
from protocol.ice.pairs import PairOutcome
from protocol.overlay.contacts import Contact
from protocol.punching.pairs import Way
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind

M, F = MappingKind, FilteringKind
UNKNOWN = NatKind()
PUBLIC = NatKind(M.NONE, F.ENDPOINT_INDEPENDENT)
CONE = NatKind(M.ENDPOINT_INDEPENDENT, F.DEPENDENT)
FULL_CONE = NatKind(M.ENDPOINT_INDEPENDENT, F.ENDPOINT_INDEPENDENT)
COUNTED = NatKind(M.SEQUENTIAL, F.DEPENDENT, port_step=1)
RANDOM = NatKind(M.ENDPOINT_DEPENDENT, F.DEPENDENT)
HOST, RELAY = CandidateKind.HOST, CandidateKind.RELAYED


def pair(
    outcome: PairOutcome, local: CandidateKind = HOST, remote: CandidateKind = HOST
) -> TriedPair:
    return TriedPair(Address("192.168.1.2", 1), local, Address("192.168.1.3", 2), remote, outcome)


SILENT = [pair(PairOutcome.NO_ANSWER), pair(PairOutcome.NOT_TRIED)]


def test_every_cause_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Cause)
    sentences = {cause.sentence for cause in Cause}
    assert len(sentences) == len(Cause), "two causes read the same"


@pytest.mark.parametrize("cause", Cause)
def test_explanations_are_a_clause_and_whole_sentences(cause: Cause) -> None:
    assert cause.sentence[0].islower()
    assert cause.sentence[-1] not in ".!?"
    assert cause.advice[0].isupper()
    assert cause.advice.endswith(".")


def test_an_error_without_a_message_says_its_cause() -> None:
    error = CallFailed(cause=Cause.OFFLINE)
    assert (str(error), error.cause) == (Cause.OFFLINE.sentence, Cause.OFFLINE)
    assert str(LinkFailed("in my words", cause=Cause.BUSY)) == "in my words"
    assert NotFound("no").cause is None


@pytest.mark.parametrize(
    ("own", "peer", "cause"),
    [
        (RANDOM, RANDOM, Cause.RELAY_NEEDED),
        (RANDOM, COUNTED, Cause.RELAY_NEEDED),
        (RANDOM, CONE, Cause.PORT_NOT_GUESSED),
        (COUNTED, COUNTED, Cause.PORT_NOT_GUESSED),
        (RANDOM, UNKNOWN, Cause.KIND_UNKNOWN),
        (CONE, UNKNOWN, Cause.KIND_UNKNOWN),
        (UNKNOWN, UNKNOWN, Cause.KIND_UNKNOWN),
        (CONE, CONE, Cause.NOTHING_PASSED),
        (CONE, COUNTED, Cause.PORT_NOT_GUESSED),
        (PUBLIC, RANDOM, Cause.NOTHING_PASSED),
        (FULL_CONE, RANDOM, Cause.NOTHING_PASSED),
        (PUBLIC, UNKNOWN, Cause.NOTHING_PASSED),
    ],
)
def test_where_nothing_answers_the_kinds_of_the_routers_decide(
    own: NatKind, peer: NatKind, cause: Cause
) -> None:
    one, other = KnownSide((4,), own, 0), KnownSide((4,), peer, 0)
    assert cause_of_failed_checks(one, other, SILENT) is cause
    assert cause_of_failed_checks(other, one, SILENT) is cause


def test_what_is_expected_is_not_said_before_the_kinds_are_known() -> None:
    def expected(own: NatKind, peer: NatKind) -> Way | None:
        return expected_of(KnownSide((4,), own, 0), KnownSide((4,), peer, 0))

    assert expected(UNKNOWN, CONE) is expected(UNKNOWN, UNKNOWN) is None
    assert expected(UNKNOWN, PUBLIC) is Way.OPEN
    assert expected(CONE, RANDOM) is Way.BIRTHDAY


def test_what_happened_comes_before_what_the_kinds_let_expect() -> None:
    own, peer = KnownSide((4,), RANDOM, 0), KnownSide((4,), RANDOM, 0)
    cases = [
        ([*SILENT, pair(PairOutcome.ANSWERED)], Cause.PEER_STALLED),
        ([*SILENT, pair(PairOutcome.CONSENT_LOST)], Cause.PATH_LOST),
        ([*SILENT, pair(PairOutcome.NO_ANSWER, RELAY)], Cause.RELAY_SILENT),
        ([*SILENT, pair(PairOutcome.NO_ANSWER, HOST, RELAY)], Cause.RELAY_SILENT),
        ([*SILENT, pair(PairOutcome.REFUSED, RELAY)], Cause.RELAY_REFUSED),
        ([pair(PairOutcome.REFUSED)], Cause.RELAY_NEEDED),
    ]
    for pairs, cause in cases:
        assert cause_of_failed_checks(own, peer, pairs) is cause


def test_relays_that_were_named_and_gave_no_address_are_told() -> None:
    with_relays = KnownSide((4,), CONE, 3)
    for peer in (KnownSide((4,), RANDOM, 0), KnownSide((6,), CONE, 0)):
        assert cause_of_failed_checks(with_relays, peer, SILENT) is Cause.RELAY_REFUSED
        assert cause_of_failed_checks(peer, with_relays, SILENT) is Cause.RELAY_REFUSED


def test_addresses_that_do_not_fit_are_a_cause_of_their_own() -> None:
    none, four, six = (KnownSide(families, CONE, 0) for families in ((), (4,), (6,)))
    assert cause_of_failed_checks(none, four, []) is Cause.NO_ADDRESS
    assert cause_of_failed_checks(four, six, []) is Cause.NO_COMMON_FAMILY
    assert cause_of_failed_checks(four, none, []) is Cause.PEER_HIDDEN
    assert cause_of_failed_checks(four, none, [], relays_failed=True) is Cause.RELAY_REFUSED
    assert cause_of_failed_checks(none, four, [], relays_failed=True) is Cause.RELAY_REFUSED
    both = KnownSide((4, 6), CONE, 0)
    assert cause_of_failed_checks(four, both, SILENT) is Cause.NOTHING_PASSED


def test_a_side_is_what_its_description_says_of_it() -> None:
    relay = Contact.at(bytes(range(32)), Address("192.0.2.9", 4001))
    described = Description(
        "abcd",
        "a" * 22,
        bytes(32),
        DtlsRole.ACTPASS,
        (
            IceCandidate(CandidateKind.HOST, Address("192.0.2.1", 5)),
            IceCandidate(CandidateKind.SERVER_REFLEXIVE, Address("192.0.2.1", 6)),
            IceCandidate(CandidateKind.RELAYED, Address("2001:db8::1", 5)),
        ),
        nat=NatReport(RANDOM),
        relays=(relay,),
    )
    assert side_of(described) == KnownSide((4,), RANDOM, 1)
