"""Lets an association's packets be as large as the path carries, by probes that leave uncut."""

from typing import TYPE_CHECKING, Final

from protocol.sctp import events
from protocol.sctp.association import Association
from protocol.sctp.send.packetsize import PacketSize, packet_sizes

if TYPE_CHECKING:  # aiortc is imported for the first link, and an offer's INIT is wanted before
    from node.links.secure.dtls import DtlsPath

_SILENT_TIMEOUTS: Final = 2
"""So many timeouts in a row, and the packets may be too large for a path that has changed."""


class SizeSearch:
    """The search of one association; `own_peer`: its peer is ours too, others are not probed.

    werift crashes on a PADDING chunk.
    """

    def __init__(self, association: Association, dtls: "DtlsPath", *, own_peer: bool) -> None:
        self._association = association
        self._dtls = dtls
        self._own_peer = own_peer
        self._size = PacketSize(packet_sizes(dtls.ice.is_loopback))

    @property
    def next_at(self) -> float:
        """When to call `probe` again, infinite for never."""
        return self._size.next_at

    def begin(self, now: float) -> None:
        """Search from now on."""
        if self._own_peer:
            self._size.start(now)

    def path_changed(self, now: float) -> None:
        """Packets take another path: they begin small."""
        self._size.path_changed(packet_sizes(self._dtls.ice.is_loopback))
        self._adopt()
        self.begin(now)

    def timed_out(self, timeouts: int, now: float) -> None:
        """Nothing is acknowledged, for so many timeouts in a row."""
        if timeouts >= _SILENT_TIMEOUTS and self._size.lost(now):
            self._adopt()

    def probed(self, event: events.PathProbed, now: float) -> None:
        """A probe was answered."""
        if self._size.probed(event.packet_bytes, now):
            self._adopt()

    def narrowed(self, event: events.PathNarrowed, now: float) -> None:
        """Packets are small again."""
        self._size.narrowed(now, had_carried=event.had_carried)

    def probe(self, now: float) -> None:
        """Send a probe if one is due, uncut, whatever else waits."""
        probe_bytes = self._size.due(now)
        if probe_bytes is None:
            return
        self._association.probe_path(probe_bytes)
        smaller: list[bytes] = []
        for packet in self._association.datagrams_to_send(now):
            if len(packet) != probe_bytes:
                smaller.append(packet)
            elif not self._dtls.send_whole(packet):
                self._size.give_up()
        self._dtls.send_packets(smaller)

    def _adopt(self) -> None:
        self._association.set_packet_bytes(self._size.packet_bytes)
