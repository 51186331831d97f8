"""Repeats lost DTLS handshake flights in virtual time, which OpenSSL's own timer cannot.

OpenSSL reads the machine's clock: in virtual time a lost flight is never repeated, or, in a run so
slow that a real second passes within one handshake, repeated at a moment that no seed decides. So a
keeper stands between `RTCDtlsTransport` and its ICE transport. It holds the last flight, repeats it
by a virtual timer and when the peer repeats the flight that it answered (RFC 6347 4.2.4), and keeps
back both OpenSSL's own repetitions and the peer's duplicates.

It tells a repetition by the handshake message numbers that stand in the clear (RFC 6347 4.2.2), and
a duplicate by its bytes, since keepers repeat a flight as it was.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from simulations.internet.log import DTLS_CHANGE_CIPHER_SPEC, DTLS_HANDSHAKE, is_handshake

FIRST_DELAY_S: Final = 1.0
"""RFC 6347 4.2.4.1; doubled each time."""
REPEATS_MAX: Final = 7
HEARD_MAX: Final = 64
"""Handshake datagrams of a peer that are remembered; a handshake has two flights of each side."""

_APPLICATION_DATA: Final = 23
_RECORD_HEADER_BYTES: Final = 13
_EPOCH: Final = slice(3, 5)
_IN_CLEAR: Final = bytes(2)
_MESSAGE_SEQUENCE: Final = slice(17, 19)
_FRAGMENT_OFFSET: Final = slice(19, 22)


class FlightKeeper:
    """Looks like the ICE transport that it wraps; `_send` and `_recv` pass by the flight."""

    def __init__(self, ice: Any) -> None:
        self._ice = ice
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        """Begin a handshake of which nothing has been sent or heard."""
        self._stop_timer()
        self._flight: list[bytes] = []
        self._flights = 0
        self._is_answered = True
        self._last_message = (-1, 0)
        self._changed_cipher = False
        self._finishes = False
        self._peer_changed_cipher = False
        self._is_over = False
        self._heard: dict[bytes, int] = {}
        self._delay_s = FIRST_DELAY_S
        self._repeats = 0
        self._repeating: asyncio.Task[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ice, name)

    async def _send(self, data: bytes) -> None:
        if not self._is_over and is_handshake(data):
            data = self._without_repetitions(data)
            if not data:
                return
            self._keep(data)
        await self._ice._send(data)

    async def _recv(self) -> bytes:
        while True:
            try:
                data: bytes = await self._ice._recv()
            except ConnectionError:  # the end, or a new way, over which DTLS begins again
                self._begin()
                raise
            if self._is_over or not is_handshake(data):
                if data[:1] == bytes([_APPLICATION_DATA]) and self._is_complete():
                    self._end()
                return data
            if data not in self._heard:
                self._note_heard(data)
                return data
            if self._heard[data] == self._flights - 1:
                await self._repeat()

    def _without_repetitions(self, data: bytes) -> bytes:
        """The records of a datagram but for those that OpenSSL repeats by its own clock.

        They may stand before new ones: aiortc sends what has gathered as one datagram.
        """
        fresh = []
        for record in _records(data):
            if record[0] == DTLS_CHANGE_CIPHER_SPEC:
                self._finishes, self._changed_cipher = not self._changed_cipher, True
                is_fresh = self._finishes
            elif record[0] != DTLS_HANDSHAKE:
                is_fresh = True
            elif record[_EPOCH] != _IN_CLEAR:
                is_fresh = self._finishes  # what follows a change of cipher, and cannot be read
            else:
                is_fresh = self._is_fresh(record)
            if is_fresh:
                fresh.append(record)
        return b"".join(fresh)

    def _is_fresh(self, record: bytes) -> bool:
        """Whether a handshake message, or this part of it, was not sent before."""
        message = (
            int.from_bytes(record[_MESSAGE_SEQUENCE]),
            int.from_bytes(record[_FRAGMENT_OFFSET]),
        )
        if message <= self._last_message:
            return False
        self._last_message = message
        return True

    def _keep(self, data: bytes) -> None:
        if self._is_answered:
            self._is_answered = False
            self._flight = []
            self._flights += 1
            self._repeats = 0
            self._delay_s = FIRST_DELAY_S
        self._flight.append(data)
        self._stop_timer()
        if not self._peer_changed_cipher:  # else this is the last flight: nothing answers it
            self._start_timer()

    def _note_heard(self, data: bytes) -> None:
        if len(self._heard) < HEARD_MAX:
            self._heard[data] = self._flights
        self._is_answered = True
        self._peer_changed_cipher = self._peer_changed_cipher or _changes_cipher(data)
        if self._is_complete():
            self._stop_timer()

    def _is_complete(self) -> bool:
        """Whether this side is done; a server that is may send data before its client is."""
        return self._changed_cipher and self._peer_changed_cipher

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if self._repeats == REPEATS_MAX or self._ice.state in {"closed", "failed"}:
            return
        self._repeats += 1
        self._delay_s *= 2
        self._repeating = asyncio.get_running_loop().create_task(self._repeat())
        self._start_timer()

    async def _repeat(self) -> None:
        try:
            for data in self._flight:
                await self._ice._send(data)
        except ConnectionError:
            self._end()

    def _end(self) -> None:
        """Both sides are done, as the peer sends data; or the path is gone."""
        self._is_over = True
        self._stop_timer()
        self._flight = []
        self._heard = {}


def _records(data: bytes) -> Iterator[bytes]:
    """The records of one datagram, each with its header."""
    position = 0
    while position + _RECORD_HEADER_BYTES <= len(data):
        length = int.from_bytes(data[position + 11 : position + _RECORD_HEADER_BYTES])
        end = position + _RECORD_HEADER_BYTES + length
        yield data[position:end]
        position = end


def _changes_cipher(data: bytes) -> bool:
    return any(record[0] == DTLS_CHANGE_CIPHER_SPEC for record in _records(data))
