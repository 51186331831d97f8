"""The frames by which an open link restarts its ICE, of types 34 and 35.

    [34, description]                             the sender restarts; its offer
    [35, offer id (16), status, description]      the answer to that offer

They are neither signed nor sealed. A link's session has proved both sides and encrypts every frame
in its order, so a frame is of the link's other side, made for this link, and good once.
"""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Final

from protocol import codec, limits
from protocol.description import LINK_ID_BYTES, Description
from protocol.errors import Malformed
from protocol.signaling import AnswerStatus

_ITEMS = 4
_PURPOSE = b"modswarm restart"
_SAID: Final = frozenset({AnswerStatus.ACCEPTED, AnswerStatus.CROSSED, AnswerStatus.NO_LINK})


def restart_id(offer: Description) -> bytes:
    """The offer id of a restart: the same by frames as by registrars, by which one offer may go.

    It follows from the offer's ICE credentials, which are drawn for each restart.
    """
    credentials = codec.encode([offer.ufrag, offer.password])
    return hashlib.sha256(_PURPOSE + credentials).digest()[:LINK_ID_BYTES]


@dataclass(frozen=True, slots=True)
class RestartOffer:
    """The sender begins ICE anew and describes its side."""

    type: ClassVar[int] = 34
    description: Description


@dataclass(frozen=True, slots=True)
class RestartAnswer:
    """What the receiver makes of an offer: accepted with a description, crossed, or no link.

    Raises Malformed for another status, and where a description is lacking or is not due.
    """

    type: ClassVar[int] = 35
    offer_id: bytes
    status: AnswerStatus
    description: Description | None = None

    def __post_init__(self) -> None:
        codec.sized(self.offer_id, LINK_ID_BYTES)
        if self.status not in _SAID:
            raise Malformed(f"a restart is not answered by the status {self.status}")
        if (self.status is AnswerStatus.ACCEPTED) is (self.description is None):
            raise Malformed("only what is accepted bears a description")


RestartFrame = RestartOffer | RestartAnswer


def encode_restart_frame(frame: RestartFrame) -> bytes:
    """The bytes of a frame."""
    if isinstance(frame, RestartOffer):
        return codec.encode([frame.type, frame.description.encode()])
    described = b"" if frame.description is None else frame.description.encode()
    return codec.encode([frame.type, frame.offer_id, int(frame.status), described])


def decode_restart_frame(data: bytes) -> RestartFrame:
    """The frame that `data` spells; raises Malformed and its children."""
    value = codec.decode_canonical(data, max_bytes=limits.RESTART_FRAME_BYTES, max_items=_ITEMS)
    if not isinstance(value, list) or not value:
        raise Malformed("a frame that is no list")
    if value[0] == RestartOffer.type:
        _, described = codec.shape(value, int, bytes)
        return RestartOffer(Description.decode(described))
    kind, offer_id, status, described = codec.shape(value, int, bytes, int, bytes)
    if kind != RestartAnswer.type:
        raise Malformed(f"a frame of the unknown type {kind}")
    last = max(AnswerStatus)
    return RestartAnswer(
        offer_id,
        AnswerStatus(codec.ranged(status, 0, last)),
        Description.decode(described) if described else None,
    )
