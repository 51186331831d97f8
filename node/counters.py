"""What a node counts: traffic, and every refusal under its error's name."""

import logging
from collections import Counter

from protocol.errors import ModswarmError

_log = logging.getLogger(__name__)


class Counters:
    """Totals since the node started."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.clock_signs: Counter[str] = Counter()
        """`ahead`: how often others said that ours was issued in the future. `behind`: how often
        what others keep as valid was so by our clock."""
        self.datagrams_received = 0
        self.datagrams_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0

    def refuse(self, error: ModswarmError) -> None:
        """Count a refusal by the name of its error."""
        self.refused[error.name] += 1
        _log.debug("refused: %s: %s", error.name, error)
