"""A machine that answers everything on one UDP port: STUN requests with success, the rest as it is.

Its answers have no MESSAGE-INTEGRITY of an agent's key, so no ICE agent may believe them.
"""

import socket
import struct
import sys

_COOKIE = 0x2112A442
_SUCCESS = 0x0101
_XOR_MAPPED = 0x0020


def answer(request: bytes, host: str, port: int) -> bytes:
    """A Binding success for a STUN request, an echo for anything else."""
    if len(request) < 20 or request[4:8] != _COOKIE.to_bytes(4):
        return request
    address = int.from_bytes(socket.inet_aton(host)) ^ _COOKIE
    value = struct.pack("!BBHI", 0, 1, port ^ (_COOKIE >> 16), address)
    attribute = struct.pack("!HH", _XOR_MAPPED, len(value)) + value
    return struct.pack("!HH", _SUCCESS, len(attribute)) + request[4:20] + attribute


def serve(port: int) -> None:
    """Answer until the process is killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", port))  # noqa: S104 (in a namespace of its own)
        while True:
            request, (host, source) = taken.recvfrom(2048)
            taken.sendto(answer(request, host, source), (host, source))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
