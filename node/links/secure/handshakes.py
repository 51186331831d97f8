"""What keeps forged datagrams from ending a link's DTLS handshake.

Until a handshake has ended nothing in it is authentic: a datagram of a third party, who only has to
know both addresses, may be an alert that ends it, or a message that spoils it. So alerts in the
clear count for nothing here, and a handshake that was spoiled, or stands still, begins anew within
the time of the attempt. The client begins; the server follows its new ClientHello once the
handshake that is under way is old enough to have ended, or was spoiled.
"""

import asyncio
from typing import Final

from node.links.path.datagrams import DtlsDatagrams
from protocol import limits

_ALERT, _HANDSHAKE = 21, 22
_CLIENT_HELLO: Final = 1
_HEADER_BYTES: Final = 13
_EPOCH: Final = slice(3, 5)
_IN_CLEAR: Final = bytes(2)
_LENGTH: Final = slice(11, _HEADER_BYTES)
_TYPE_AT: Final = _HEADER_BYTES
_MESSAGE_SEQUENCE: Final = slice(17, 19)
_FRAGMENT_OFFSET: Final = slice(19, 22)
_RANDOM: Final = slice(27, 59)
_FIRST: Final = bytes(2), bytes(3)


class Handshakes:
    """Looks to aiortc like the ICE transport that it stands before: `_recv` drops what is forged.

    `datagrams` are told to begin anew where the handshake has to, so that `_recv` raises
    ConnectionError once.
    """

    def __init__(self, datagrams: DtlsDatagrams) -> None:
        self._datagrams = datagrams
        self._loop = asyncio.get_running_loop()
        self._is_server = False
        self._over = False
        self._hello = b""
        self._heard_at = 0.0

    @property
    def role(self) -> str:
        """What aiortc reads of an ICE transport."""
        return self._datagrams.role

    @property
    def state(self) -> str:
        """What aiortc reads of an ICE transport."""
        return self._datagrams.state

    def begin(self, *, is_server: bool) -> None:
        """A handshake begins of which nothing was heard."""
        self._is_server = is_server
        self._hello = b""

    def end(self) -> None:
        """The handshake has ended: OpenSSL itself drops from now on what is not sealed."""
        self._over = True

    async def _send(self, data: bytes) -> None:
        await self._datagrams._send(data)

    async def _recv(self) -> bytes:
        """The next datagram; raises ConnectionError at the end, and once for each new beginning."""
        while True:
            data = await self._datagrams._recv()
            if self._over:
                return data
            data = without_alerts(data)
            if data and (not self._is_server or self._follows(data)):
                return data

    def _follows(self, data: bytes) -> bool:
        """Whether the server takes this now; where the client has begun anew it does as well."""
        hello = random_of_hello(data)
        if not self._hello:
            self._hello, self._heard_at = hello, self._loop.time()
            return bool(hello)
        age_s = self._loop.time() - self._heard_at
        if hello in (b"", self._hello):
            return True
        if age_s >= limits.DTLS_HANDSHAKE_PAUSE_S:
            self._datagrams.begin_anew()
            self._datagrams.put(data)
        return False


def without_alerts(datagram: bytes) -> bytes:
    """The whole records of a datagram, without alerts in the clear."""
    kept = []
    at = 0
    while (body := at + _HEADER_BYTES) <= len(datagram):
        record = datagram[at : body + int.from_bytes(datagram[at:body][_LENGTH])]
        if record[0] != _ALERT or record[_EPOCH] != _IN_CLEAR:
            kept.append(record)
        at += len(record)
    return b"".join(kept)


def random_of_hello(datagram: bytes) -> bytes:
    """The client's random in a first ClientHello (RFC 6347, 4.2.1); empty if this is none."""
    if len(datagram) < _RANDOM.stop or datagram[0] != _HANDSHAKE:
        return b""
    if datagram[_TYPE_AT] != _CLIENT_HELLO or datagram[_EPOCH] != _IN_CLEAR:
        return b""
    if (datagram[_MESSAGE_SEQUENCE], datagram[_FRAGMENT_OFFSET]) != _FIRST:
        return b""
    return datagram[_RANDOM]
