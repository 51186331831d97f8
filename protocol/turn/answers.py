"""Answers of a STUN and TURN server, and how many it gives to addresses that have not proved.

Binding answers and TURN's 401 and 438 are the only ones to an unproved address that may be longer
than their request: at most STUN_ANSWER_FACTOR times as long, and few a second for each source.
"""

from protocol import limits
from protocol.addresses import Address
from protocol.errors import RateLimited
from protocol.rate_limit import HostRateLimit
from protocol.stun.attributes import (
    Attribute,
    encode_error,
    encode_unknown_attributes,
    encode_xor_address,
)
from protocol.stun.message import StunClass, StunMessage, encode_stun

Attributes = tuple[tuple[int, bytes], ...]


def success(request: StunMessage, attributes: Attributes, key: bytes | None = None) -> bytes:
    """A success response, with MESSAGE-INTEGRITY if there is a key."""
    answer = StunMessage(StunClass.SUCCESS, request.method, request.transaction, attributes)
    return encode_stun(answer, key=key, fingerprint=False)


def failure(
    request: StunMessage, code: int, extra: Attributes = (), key: bytes | None = None
) -> bytes:
    """An error response; reasons are left out, so that it stays short."""
    attributes = ((int(Attribute.ERROR_CODE), encode_error(code)), *extra)
    answer = StunMessage(StunClass.ERROR, request.method, request.transaction, attributes)
    return encode_stun(answer, key=key, fingerprint=False)


def mapped_address(address: Address, request: StunMessage) -> Attributes:
    """Where a request came from, as XOR-MAPPED-ADDRESS."""
    value = encode_xor_address(address, request.transaction)
    return ((int(Attribute.XOR_MAPPED_ADDRESS), value),)


def unknown_attributes(types: tuple[int, ...]) -> Attributes:
    """The types that a 420 names."""
    return ((int(Attribute.UNKNOWN_ATTRIBUTES), encode_unknown_attributes(types)),)


class UnprovedAnswers:
    """Lets answers to unproved addresses pass, within their bounds."""

    def __init__(self) -> None:
        rate = limits.STUN_ANSWERS_PER_SECOND
        self._rate = HostRateLimit(rate, rate)

    def __len__(self) -> int:
        return len(self._rate)

    def checked(self, answer: bytes, request: bytes, source: Address, now: float) -> bytes:
        """The answer, which is counted; raises RateLimited."""
        if len(answer) > limits.STUN_ANSWER_FACTOR * len(request):
            raise RateLimited("the answer would be too long for its request")
        self._rate.charge(source.host, now)
        return answer
