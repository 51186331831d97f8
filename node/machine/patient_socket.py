"""A connection whose reader knows how long it has waited for something whole, byte by byte or not.

A time limit of the socket alone would let the other end keep its reader for ever by single bytes.
"""

import io
import socket
import time
from collections.abc import Callable
from typing import Any

_SHORTEST_S = 0.001


class AnswerPatience:
    """Calls `silent`, which may raise, every `every_s` until `again`."""

    def __init__(
        self,
        every_s: float,
        silent: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s = every_s
        self._silent = silent
        self._clock = clock
        self.again()

    def again(self) -> None:
        """What was waited for has come whole."""
        self._since = self._clock()
        self._next = self._since + self._every_s

    @property
    def waited_s(self) -> float:
        """Since something has come whole."""
        return self._clock() - self._since

    @property
    def whole_s(self) -> float:
        """All of the time between two calls."""
        return self._every_s

    def left_s(self) -> float:
        """Until the next call of `silent`, which is made here if it is due."""
        if self._clock() >= self._next:
            self._silent()
            self._next = self._clock() + self._every_s
        return max(self._next - self._clock(), _SHORTEST_S)


class PatientSocket(socket.socket):
    """A connected TCP socket; `patience` rules what reads it by `makefile`."""

    patience: AnswerPatience

    @classmethod
    def connected(cls, host: str, port: int, patience: AnswerPatience) -> "PatientSocket":
        """Connect; raises OSError, and what the patience raises."""
        with socket.create_connection((host, port), patience.left_s()) as made:
            patient = cls(fileno=made.detach())
        patient.settimeout(patience.whole_s)
        patient.patience = patience
        return patient

    def makefile(self, *_: Any, **__: Any) -> Any:
        """A buffered reader."""
        return io.BufferedReader(_Reader(self, super().makefile("rb", buffering=0)))


class _Reader(io.RawIOBase):
    def __init__(self, source: PatientSocket, holder: io.RawIOBase) -> None:
        super().__init__()
        self._source = source
        self._holder = holder
        """Keeps the socket open for as long as it is read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._source.settimeout(self._source.patience.left_s())
            try:
                return self._source.recv_into(buffer)
            except TimeoutError:
                continue

    def close(self) -> None:
        self._holder.close()
        super().close()
