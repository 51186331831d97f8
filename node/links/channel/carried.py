"""How many bytes a channel has carried both ways, by which the rate of its path is measured."""

from protocol.sctp.association import Association


class CarriedBytes:
    """Of one channel. What was sent counts once the peer has acknowledged it."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self._received = 0

    def received(self, message: bytes) -> None:
        """A message of the peer has come."""
        self._received += len(message)

    def total(self) -> int:
        """All bytes so far."""
        sender = self._association.sender
        return self._received + (0 if sender is None else sender.delivered_bytes)
