"""How much of what peers send is held for each link: a share of what a node holds for all."""

from protocol.sctp import limits
from protocol.sctp.association import Association


class ReceiveWindows:
    """Gives every association RECEIVE_WINDOW_BYTES, or less where RECEIVE_WINDOWS_BYTES are short.

    Shares are halved as often as needed, so that not every link that comes or goes changes them.
    """

    def __init__(self) -> None:
        self._associations: dict[Association, None] = {}
        self.share_bytes = limits.RECEIVE_WINDOW_BYTES
        """The window of each."""

    def __len__(self) -> int:
        return len(self._associations)

    def join(self, association: Association) -> None:
        """This one stands from now on."""
        self._associations[association] = None
        self._share()
        association.limit_window(self.share_bytes)

    def leave(self, association: Association) -> None:
        """This one has ended; may be called again."""
        if association in self._associations:
            del self._associations[association]
            self._share()

    def _share(self) -> None:
        share_bytes = limits.RECEIVE_WINDOW_BYTES
        while share_bytes * len(self._associations) > limits.RECEIVE_WINDOWS_BYTES:
            share_bytes //= 2
        if share_bytes != self.share_bytes:
            self.share_bytes = share_bytes
            for association in self._associations:
                association.limit_window(share_bytes)
