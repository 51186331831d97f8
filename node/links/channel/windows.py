"""How much each link holds of what its peer sends, and of what waits to be sent to it: shares."""

from collections.abc import Callable

from protocol.sctp import limits


class LinkWindows:
    """Gives every link RECEIVE_WINDOW_BYTES, or less where RECEIVE_WINDOWS_BYTES are short.

    Shares are halved as often as needed, so that not every link that comes or goes changes them.
    """

    def __init__(self) -> None:
        self._links: dict[object, Callable[[int], None]] = {}
        self.share_bytes = limits.RECEIVE_WINDOW_BYTES
        """The window of each."""

    def __len__(self) -> int:
        return len(self._links)

    def join(self, link: object, limit_window: Callable[[int], None]) -> None:
        """This link stands from now on; `limit_window` is called with its share, and each other."""
        self._links[link] = limit_window
        self._share()
        limit_window(self.share_bytes)

    def leave(self, link: object) -> None:
        """This link has ended; may be called again."""
        if self._links.pop(link, None) is not None:
            self._share()

    @property
    def queue_bytes(self) -> int:
        """So much of what is to be sent may be queued on a link that is fast."""
        return min(limits.SEND_QUEUE_BYTES, limits.SEND_QUEUES_BYTES // max(1, len(self)))

    def _share(self) -> None:
        share_bytes = limits.RECEIVE_WINDOW_BYTES
        while share_bytes * len(self._links) > limits.RECEIVE_WINDOWS_BYTES:
            share_bytes //= 2
        if share_bytes != self.share_bytes:
            self.share_bytes = share_bytes
            for limit_window in self._links.values():
                limit_window(share_bytes)
