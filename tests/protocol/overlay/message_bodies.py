"""Bodies of requests and responses with fields that do not matter."""

from typing import Any

from protocol.addresses import Address
from protocol.overlay.messages import (
    Code,
    Method,
    encode_request,
    encode_response,
)

V4, V6 = Address("192.0.2.7", 4001), Address("2001:db8::7", 65535)
TRANSACTION, EPOCH, TOKEN = bytes(8), bytes(8), b"t" * 8
COUNTER_MAX = 2**63


def requested(
    method: Method, arguments: list[Any], *, token: bytes = b"", counter: int = 1, flags: int = 0
) -> bytes:
    return encode_request(
        TRANSACTION,
        method,
        epoch=EPOCH,
        counter=counter,
        token=token,
        flags=flags,
        arguments=arguments,
    )


def responded(result: list[Any], *, code: Code = Code.OK, where: Address = V4) -> bytes:
    return encode_response(TRANSACTION, code, token=TOKEN, observed=where, result=result)
