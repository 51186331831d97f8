"""What a node counts: traffic, and every refusal under its error's name."""

import logging
from collections import Counter

from protocol.errors import ModswarmError

_log = logging.getLogger(__name__)


class Counters:
    """Totals since the node started.

    Traffic is that of the node's UDP sockets, without the headers of IP and UDP. What goes through
    a relay is so counted once, with its ChannelData around it.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.datagrams_received = 0
        self.datagrams_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0

    def received(self, datagrams: int, length: int) -> None:
        """Count what arrived at a socket."""
        self.datagrams_received += datagrams
        self.bytes_received += length

    def sent(self, length: int, size: int) -> None:
        """Count a buffer that is sent by a socket, as datagrams of `size` bytes each."""
        self.datagrams_sent += -(-length // size) if 0 < size < length else 1
        self.bytes_sent += length

    def refuse(self, error: ModswarmError) -> None:
        """Count a refusal by the name of its error."""
        self.refused[error.name] += 1
        _log.debug("refused: %s: %s", error.name, error)
