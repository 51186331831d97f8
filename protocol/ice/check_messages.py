"""ConnectivityChecks checks and what answers them, as STUN messages (RFC 8445, 7.1 and 7.3)."""

from typing import Final, NamedTuple

from protocol.addresses import Address
from protocol.errors import Malformed
from protocol.stun.attributes import (
    Attribute,
    ErrorCode,
    encode_error,
    encode_u32,
    encode_u64,
    encode_unknown_attributes,
    encode_xor_address,
)
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun

KNOWN: Final = frozenset(
    {
        Attribute.USERNAME,
        Attribute.ERROR_CODE,
        Attribute.XOR_MAPPED_ADDRESS,
        Attribute.PRIORITY,
        Attribute.USE_CANDIDATE,
    }
)
"""The attributes that must be understood, and are, in the messages of an agent."""

CHECK_BYTES: Final = 80
"""A check that nominates, without its user name: header, USERNAME's header, PRIORITY, role,
USE-CANDIDATE, MESSAGE-INTEGRITY and FINGERPRINT."""

NOMINATION_BYTES: Final = 8
"""How much longer a check is that numbers its nomination."""

_ROLES: Final = {True: Attribute.ICE_CONTROLLING, False: Attribute.ICE_CONTROLLED}

_REASONS: Final = {
    ErrorCode.ROLE_CONFLICT: "Role Conflict",
    ErrorCode.UNKNOWN_ATTRIBUTE: "Unknown Attribute",
}


class IncomingCheck(NamedTuple):
    """What a check of the peer says. `controlling`: the peer takes itself for that side.

    `nomination`: the number of the nomination, 0 where the peer numbers none.
    """

    priority: int
    controlling: bool
    tie_breaker: int
    nominates: bool
    nomination: int = 0


def read_check(message: StunMessage) -> IncomingCheck:
    """What an authenticated Binding request says; raises Malformed.

    RFC 8445, 7.1, wants PRIORITY and one of the roles in each.
    """
    priority = message.number(Attribute.PRIORITY)
    controlling = message.number(Attribute.ICE_CONTROLLING, 8)
    controlled = message.number(Attribute.ICE_CONTROLLED, 8)
    if priority is None or (controlling is None) == (controlled is None):
        raise Malformed("a check without priority, or without one role")
    nominates = message.get(Attribute.USE_CANDIDATE) is not None
    if controlling is not None:
        number = message.number(Attribute.NOMINATION) if nominates else None
        return IncomingCheck(priority, True, controlling, nominates, number or 0)
    return IncomingCheck(priority, False, controlled or 0, False)


def encode_check(
    transaction: bytes,
    *,
    username: bytes,
    priority: int,
    controlling: bool,
    tie_breaker: int,
    nominates: bool,
    key: bytes,
    nomination: int = 0,
) -> bytes:
    """A Binding request (RFC 8445, 7.2.4): 96 bytes with ufrags of 8, and 108 if it nominates with
    a number.
    """
    attributes: list[tuple[int, bytes]] = [
        (Attribute.USERNAME, username),
        (Attribute.PRIORITY, encode_u32(priority)),
        (_ROLES[controlling], encode_u64(tie_breaker)),
    ]
    if nominates:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    if nominates and nomination:
        attributes.append((Attribute.NOMINATION, encode_u32(nomination)))
    message = StunMessage(StunClass.REQUEST, StunMethod.BINDING, transaction, tuple(attributes))
    return encode_stun(message, key=key)


def encode_answer(transaction: bytes, source: Address, key: bytes) -> bytes:
    """The success response to a check that came from `source`: 64 bytes, 76 for IPv6."""
    mapped = encode_xor_address(source, transaction)
    message = StunMessage(
        StunClass.SUCCESS,
        StunMethod.BINDING,
        transaction,
        ((Attribute.XOR_MAPPED_ADDRESS, mapped),),
    )
    return encode_stun(message, key=key)


def encode_refusal(
    transaction: bytes, code: ErrorCode, key: bytes, unknown: tuple[int, ...] = ()
) -> bytes:
    """An error response to an authenticated check; `unknown` goes with UNKNOWN_ATTRIBUTE."""
    attributes: list[tuple[int, bytes]] = [
        (Attribute.ERROR_CODE, encode_error(code, _REASONS[code]))
    ]
    if unknown:
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, encode_unknown_attributes(unknown)))
    message = StunMessage(StunClass.ERROR, StunMethod.BINDING, transaction, tuple(attributes))
    return encode_stun(message, key=key)


def encode_opener(transaction: bytes) -> bytes:
    """A Binding indication, which no peer is to see: a bare header of 20 bytes."""
    opener = StunMessage(StunClass.INDICATION, StunMethod.BINDING, transaction)
    return encode_stun(opener, fingerprint=False)
