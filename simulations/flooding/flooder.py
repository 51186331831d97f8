"""`python -m simulations.flooding.flooder CONTACT KIND RATE SECONDS SEED`: floods a node.

`garbage` is random bytes of any length. `forged` names real keys in datagrams that do not open.
`unknown_keys` are valid requests, each under another key. They come from many loopback addresses.
"""

import random
import socket
import sys
import time
from collections.abc import Callable

from protocol import aead, datagrams, limits
from protocol.datagrams import XChaCha20Poly1305
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, encode_request
from simulations.flooding.nodes import tell

_SOURCES = 200
_DIFFERENT = 20_000
_BATCH_S = 0.002
_CIPHER = XChaCha20Poly1305()


def _garbage(_target: Contact, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(limits.DATAGRAM_BYTES))


def _forged(_target: Contact, rng: random.Random) -> bytes:
    key = Identity(rng.randbytes(32)).public_key
    return bytes((_CIPHER.first_byte,)) + key + rng.randbytes(datagrams.DATAGRAM_OVERHEAD_BYTES)


def _unknown_key(target: Contact, rng: random.Random) -> bytes:
    identity = Identity(rng.randbytes(32))
    body = encode_request(
        rng.randbytes(8),
        Method.PING,
        epoch=rng.randbytes(8),
        counter=1,
        token=b"",
        flags=0,
        arguments=[],
    )
    keys = _CIPHER.keys(identity, target.public_key)
    nonce = rng.randbytes(aead.XCHACHA_NONCE_BYTES)
    return datagrams.seal(_CIPHER, identity.public_key, keys.outgoing, nonce, body)


KINDS: dict[str, Callable[[Contact, random.Random], bytes]] = {
    "garbage": _garbage,
    "forged": _forged,
    "unknown_keys": _unknown_key,
}


def main(target: Contact, kind: str, rate: float, seconds: float, seed: str) -> None:
    """Make the datagrams, report that, and on the next line of input send them for so long."""
    rng = random.Random(seed)
    made = [KINDS[kind](target, rng) for _ in range(_DIFFERENT)]
    sources = [_source(number) for number in range(_SOURCES)]
    tell("ready")
    sys.stdin.readline()
    sent, started = 0, time.monotonic()
    while (passed_s := time.monotonic() - started) < seconds:
        due = int(passed_s * rate)
        while sent < due:
            sources[sent % _SOURCES].sendto(made[sent % _DIFFERENT], target.address)
            sent += 1
        time.sleep(_BATCH_S)
    tell({"sent_per_s": round(sent / passed_s)})


def _source(number: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((f"127.9.{number >> 8}.{1 + (number & 0xFF)}", 0))
    return made


if __name__ == "__main__":
    main(
        Contact(bytes.fromhex(sys.argv[1])),
        sys.argv[2],
        float(sys.argv[3]),
        float(sys.argv[4]),
        sys.argv[5],
    )
