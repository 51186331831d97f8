"""The nodes that links name as hints: while something is fetched by them, they may take streams."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

from protocol import limits
from protocol.errors import BadAddress
from protocol.overlay.bootstrap import Bootstrap


class HintedGateways:
    """`offered` is called when a fetch begins that names others than those before it.

    Only hints with both an address and a peer id count: who answers there must be that peer.
    """

    def __init__(self, offered: Callable[[], None]) -> None:
        self._tell_offered = offered
        self._fetches: dict[object, tuple[Bootstrap, ...]] = {}

    def all(self) -> list[Bootstrap]:
        """Those of all fetches of now, of the latest first; STREAM_HINTED at most."""
        latest_first = reversed(list(self._fetches.values()))
        found = dict.fromkeys(one for named in latest_first for one in named)
        return list(found)[: limits.STREAM_HINTED]

    @contextlib.contextmanager
    def of(self, hints: Iterable[str]) -> Iterator[None]:
        """While what a link leads to is fetched."""
        before, fetch = self.all(), object()
        self._fetches[fetch] = tuple(_gateways(hints))
        if self.all() != before:
            self._tell_offered()
        try:
            yield
        finally:
            del self._fetches[fetch]


def _gateways(hints: Iterable[str]) -> Iterator[Bootstrap]:
    for hint in hints:
        with contextlib.suppress(BadAddress):
            named = Bootstrap.parse(hint)
            if named.peer_id is not None:
                yield named
