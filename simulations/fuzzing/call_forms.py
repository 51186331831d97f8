"""What a call and a session are made of: descriptions, sealed signals, handshakes, frames.

What arrives sealed or signed is sealed here: an attacker with a key of its own can do so too.
"""

import random

from protocol import codec, noise_session, signaling
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import Oversized, RemoteError
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind
from simulations.fuzzing.target import NOW_S, OURS, THEIRS, Target

_RNG = random.Random(1)
_PLAIN_BYTES = 800

_DESCRIPTION = Description(
    "ufrag",
    "p" * 22,
    bytes(32),
    DtlsRole.ACTPASS,
    (
        IceCandidate(CandidateKind.HOST, Address("1.2.3.4", 4001)),
        IceCandidate(CandidateKind.SERVER_REFLEXIVE, Address("2a00::1", 4001)),
    ),
    nat=NatReport(
        NatKind(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.DEPENDENT, port_step=1), 4001, 9, 60
    ),
    relays=(Contact.at(bytes(32), Address("1.2.3.4", 4001)),),
    witnesses=(Contact.at(bytes(32), Address("203.0.113.1", 4001)),),
    sctp_init=bytes(16),
    session=bytes(noise_session.SESSION_ANSWER_BYTES),
)
_OFFER, _ = signaling.make_offer(
    THEIRS, OURS.public_key, OURS.peer_id, _DESCRIPTION, now=NOW_S, rng=_RNG
)


def signed_to(reader_key: bytes, writer: Identity, kind: str, data: bytes) -> bytes:
    """The list that `data` holds, with a signature of `writer` that fits it, sealed to a reader.

    Bytes that hold no list are sealed as they are.
    """
    plain = data
    try:
        fields = codec.decode(data, max_bytes=len(data), max_items=16)
        if type(fields) is list:
            plain = codec.encode([*fields, writer.sign(kind, codec.encode(fields))])
    except (RemoteError, TypeError, ValueError, OverflowError):
        pass  # what is no value, and what our encoder does not spell: floats, maps
    try:
        return signaling.seal_signal(plain, reader_key, _RNG)
    except Oversized:
        return signaling.seal_signal(data[:_PLAIN_BYTES], reader_key, _RNG)


def _signed(kind: str, data: bytes) -> bytes:
    return signed_to(OURS.public_key, THEIRS, kind, data)


def _read_offer(data: bytes) -> object:
    return signaling.read_offer(OURS, _signed("offer", data), now=NOW_S, puzzle_bits=0)


def _read_answer(data: bytes) -> object:
    sealed = _signed("answer", data)
    return signaling.read_answer(OURS, _OFFER, sealed, callee_key=THEIRS.public_key)


def _offer_fields() -> bytes:
    described = _DESCRIPTION.encode()
    return codec.encode(
        [
            signaling.SIGNALING_VERSION,
            THEIRS.public_key,
            OURS.peer_id,
            bytes(16),
            int(NOW_S),
            described,
        ]
    )


def _answer_fields(status: int) -> bytes:
    described = b"" if status else _DESCRIPTION.encode()
    return codec.encode(
        [signaling.SIGNALING_VERSION, THEIRS.public_key, _OFFER.digest, status, described]
    )


def _callee(offered: bytes) -> noise_session.CalleeHandshake:
    return noise_session.CalleeHandshake(
        OURS,
        THEIRS.public_key,
        prologue=b"prologue",
        ephemeral_secret=bytes(range(32)),
        offered=offered,
    )


def _caller(answered: bytes) -> noise_session.CallerHandshake:
    return noise_session.CallerHandshake(
        THEIRS,
        OURS.public_key,
        prologue=b"prologue",
        ephemeral_secret=_CALLER_SECRET,
        answered=answered,
    )


_CALLER_SECRET = bytes(range(1, 33))
_OFFERED = noise_session.ephemeral_key(_CALLER_SECRET)
_ANSWERED = _callee(_OFFERED).answer
_CONFIRMATION = _caller(_ANSWERED).start()[0]


CALL_FORMS = {
    "description": Target(Description.decode, (_DESCRIPTION.encode(),)),
    "offer": Target(_read_offer, (_offer_fields(),)),
    "answer": Target(_read_answer, (_answer_fields(0), _answer_fields(1))),
    "sealed signal": Target(
        lambda data: signaling.read_offer(OURS, data, now=NOW_S, puzzle_bits=0),
        (_signed("offer", _offer_fields()),),
    ),
    "session of an offer": Target(_callee, (_OFFERED,)),
    "session of an answer": Target(lambda data: _caller(data).start(), (_ANSWERED,)),
    "confirmation": Target(lambda data: _callee(_OFFERED).receive(data), (_CONFIRMATION,)),
    "frame of a session": Target(
        lambda data: noise_session.NoiseSession(bytes(32), bytes(32)).decrypt(data),
        (noise_session.NoiseSession(bytes(32), bytes(32)).encrypt(b"frame"),),
    ),
}
