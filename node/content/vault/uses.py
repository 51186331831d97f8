"""Which mods are in use: these are never evicted, whatever the budget says.

A mod is in use while a download or the writing of its files runs, for SERVED_LATELY_S after a peer
was sent a chunk of it, and while it is held: it is to be fetched once it has its turn. Marks are
made on the event loop and in the vault's thread. They are looked at within the transaction that
evicts, and a mark that comes later finds the mod gone.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from protocol import limits


class Uses:
    """Those of one vault. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[bytes] = Counter()
        self._served: dict[str, tuple[bytes, float]] = {}
        self._held: frozenset[bytes] = frozenset()

    @contextlib.contextmanager
    def using(self, mod_id: bytes) -> Iterator[None]:
        """While inside, the mod is in use."""
        with self._lock:
            self._counts[mod_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[mod_id] -= 1
                if not self._counts[mod_id]:
                    del self._counts[mod_id]

    def served(self, peer: str, mod_id: bytes, now: float) -> None:
        """A peer is sent a chunk of a mod; of what it was sent before none is in use by it."""
        with self._lock:
            self._served.pop(peer, None)
            self._served[peer] = (mod_id, now)
            if len(self._served) > limits.PEER_BUDGETS:
                del self._served[next(iter(self._served))]

    def hold(self, mods: Iterable[bytes]) -> bool:
        """These are held from now on, and no others; whether one was until now that is not here."""
        held = frozenset(mods)
        with self._lock:
            before, self._held = self._held, held
        return not before <= held

    def in_use(self, now: float) -> frozenset[bytes]:
        """The ids of the mods that are in use."""
        return self.active(now) | self._held

    def active(self, now: float) -> frozenset[bytes]:
        """The same without those that are held and wait."""
        with self._lock:
            served = self._served.values()
            lately = [mod for mod, at in served if now - at < limits.SERVED_LATELY_S]
            return frozenset((*self._counts, *lately))
