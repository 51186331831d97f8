"""What leaves at a moment: control packets first, then lost and new data, and one SACK among it."""

from protocol.sctp import chunks
from protocol.sctp.control.teardown import Teardown
from protocol.sctp.core import Core
from protocol.sctp.receive.inbound import Inbound
from protocol.sctp.status import RECEIVING, SENDING

_ACKNOWLEDGING = SENDING | RECEIVING


class Outbound:
    """Builds datagrams of what the parts of an association have to send."""

    def __init__(self, core: Core, inbound: Inbound, teardown: Teardown) -> None:
        self._core = core
        self._inbound = inbound
        self._teardown = teardown

    def datagrams(self, now: float, limit: int) -> list[bytes]:
        """See Association.datagrams_to_send."""
        datagrams: list[bytes] = []
        core = self._core
        state, halves, control = core.status.state, self._inbound.halves, core.writer.control
        if halves is not None and state in SENDING:
            halves.resets.advance(now)
            self._teardown.advance(now)
            state = core.status.state
        while control and len(datagrams) < limit:
            datagrams.append(control.popleft())
        if halves is None:
            return datagrams
        before, acknowledges = len(datagrams), halves.receiver.sack_due and state in _ACKNOWLEDGING
        if acknowledges and before < limit:
            limit -= 1
        else:
            acknowledges = False
        if state in SENDING:
            halves.sender.fill(datagrams, now, limit)
        if acknowledges:
            # One datagram fewer than asked for says that there is no more data.
            with_data = before < len(datagrams) < limit
            self._acknowledge(datagrams, halves.receiver.sack(), with_data=with_data)
        return datagrams

    def _acknowledge(self, datagrams: list[bytes], sack: bytes, *, with_data: bool) -> None:
        """Put a SACK before the data of the last datagram, if it holds data and leaves room.

        Else it leaves last, so that the full datagrams before it are one buffer with it.
        """
        chunks_of_last = b""
        if with_data and len(datagrams[-1]) + len(sack) <= self._core.packet_bytes:
            chunks_of_last = datagrams.pop()[chunks.COMMON_HEADER_BYTES :]
        datagrams.append(self._core.writer.seal(sack + chunks_of_last))
