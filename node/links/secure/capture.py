"""DTLS that also writes what SCTP sends and receives to a pcap file, to find a fault with."""

from collections.abc import Callable
from typing import BinaryIO, Final

from node.links.path.ice import IcePath
from node.links.secure.certificate import Certificate
from node.links.secure.dtls import DtlsPath, Packets
from protocol.sctp import pcap

SNAP_BYTES: Final = 256
"""Kept of each packet: all of its headers, and little of a mod."""


class CapturingDtlsPath(DtlsPath):
    """A DTLS path that records packets; `wall` gives seconds since 1970.

    The caller closes `file`, after this has closed.
    """

    def __init__(
        self,
        ice: IcePath,
        certificate: Certificate,
        file: BinaryIO,
        wall: Callable[[], float],
    ) -> None:
        super().__init__(ice, certificate)
        self._file = file
        self._wall = wall
        file.write(pcap.FILE_HEADER)

    def carry(
        self,
        receive: Callable[[Packets], None],
        writable: Callable[[], None],
        path_changed: Callable[[], None],
        carried: Callable[[], int],
    ) -> None:
        """As the base does, and note what arrives."""

        def note_and_receive(packets: Packets) -> None:
            self._note(packets, ours=False)
            receive(packets)

        super().carry(note_and_receive, writable, path_changed, carried)

    def send_packets(self, packets: Packets) -> None:
        """As the base does, and note them."""
        self._note(packets, ours=True)
        super().send_packets(packets)

    def send_whole(self, packet: bytes) -> bool:
        """As the base does, and note it."""
        self._note([packet], ours=True)
        return super().send_whole(packet)

    def _note(self, packets: Packets, *, ours: bool) -> None:
        at = self._wall()
        for packet in packets:
            self._file.write(pcap.record(packet, at, ours=ours, snap_bytes=SNAP_BYTES))
