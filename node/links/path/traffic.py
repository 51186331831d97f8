"""DTLS datagrams over the pair in use, both ways: the part of a path that carries all data."""

from collections.abc import Callable

from node.links.path.datagrams import DtlsDatagrams
from node.links.path.paths import LinkPaths
from node.links.path.silence import SilenceWatch
from node.net.demux import RecordBuffers
from node.net.udp.port import Port, split
from protocol.addresses import Address, is_loopback
from protocol.ice.events import PairSelected


class PathTraffic:
    """What DTLS sends leaves by `_pair`, once there is one; `datagrams` are those it reads.

    A base of `IcePath` and no part of it, because each part costs one more call for each burst.
    """

    def __init__(self, paths: LinkPaths) -> None:
        self._endpoint = paths.endpoint
        self._loop = paths.loop
        self.beat = paths.beat
        self.windows = paths.windows
        self.probes = paths.probes
        self._silence = SilenceWatch(paths.beat, paths.loop, self._flows, self._fell_silent)
        self._pair: PairSelected | None = None
        self._port: Port | None = None
        self._take_records: Callable[[RecordBuffers], None] | None = None
        self._writable: Callable[[], None] | None = None
        self._path_changed: Callable[[], None] | None = None
        self._carried: Callable[[], int] = _nothing
        self.datagrams = DtlsDatagrams(self._send)

    def carry_records(
        self,
        take: Callable[[RecordBuffers], None],
        writable: Callable[[], None],
        path_changed: Callable[[], None],
        carried: Callable[[], int],
    ) -> None:
        """Give application records to `take` from now on, and tell when `full` is over.

        `path_changed` is called when they leave by another pair than before. `carried` gives how
        many bytes the link has carried so far.
        """
        # DTLS is made of the ICE path, and takes records only after its handshake.
        self._take_records, self._writable = take, writable
        self._path_changed, self._carried = path_changed, carried
        self._endpoint.call_when_writable(writable)

    # To the peer ------------------------------------------------------------------------------

    @property
    def is_loopback(self) -> bool:
        """Whether the pair in use joins two nodes of one machine."""
        pair = self._pair
        return pair is not None and not pair.relayed and is_loopback(pair.remote.host)

    @property
    def is_relayed(self) -> bool:
        """Whether a relay forwards what goes by the pair in use."""
        return self._pair is not None and self._pair.relayed

    @property
    def base(self) -> Address | None:
        """The base of the pair in use."""
        return self._pair.base if self._pair is not None else None

    @property
    def round_trip_s(self) -> float | None:
        """What checks measured of the selected pair."""
        return self._pair.round_trip_s if self._pair is not None else None

    @property
    def patience_s(self) -> float:
        """What a round trip takes at most: by the checks that were repeated, if by no other."""
        if self._pair is None:
            return 0.0
        return self._pair.round_trip_s or self._pair.took_s or 0.0

    @property
    def full(self) -> bool:
        """Whether the port takes nothing more at present."""
        port = self._port
        return port is not None and port.full

    def send_segments(self, buffer: bytes, size: int) -> None:
        """Send a buffer to the peer as datagrams of `size` bytes, the last of what is left."""
        if self._port is not None and self._pair is not None:
            self._port.send_segments(buffer, size, self._pair.remote)

    def send_whole(self, datagram: bytes) -> bool:
        """Send a datagram that no router may fragment; False if that cannot be asked for."""
        if self._port is None or self._pair is None:
            return False
        return self._port.send_whole(datagram, self._pair.remote)

    def _send(self, datagram: bytes) -> None:
        self._await_answer()
        self.send_segments(datagram, len(datagram))

    def _await_answer(self) -> None:
        """Until the link carries records, what is sent belongs to a handshake."""
        if self._take_records is None:
            self.beat.prompt()

    # From the peer, as the demultiplexer calls ------------------------------------------------

    def dtls_received(self, datagram: bytes) -> None:
        """Queue a datagram for DTLS."""
        self.datagrams.put(datagram)

    def records_received(self, buffers: RecordBuffers) -> None:
        """Pass application records on in bulk, if the link takes them so by now."""
        self._silence.heard()
        if self._take_records is not None:
            self._take_records(buffers)
            return
        for buffer, size in buffers:
            for datagram in split(buffer, size):
                self.datagrams.put(datagram)

    def _flows(self) -> None:
        """Data of the peer have arrived lately."""
        raise NotImplementedError

    def _fell_silent(self) -> None:
        """The peer was sending, and has ceased to."""
        raise NotImplementedError

    # The pair ---------------------------------------------------------------------------------

    def _send_by(self, pair: PairSelected) -> None:
        """Data leave by this pair from now on."""
        self._pair = pair
        self._port = self._endpoint.port_at(pair.base)

    def _tell_path_changed(self) -> None:
        if self._path_changed is not None:
            self._loop.call_soon(self._path_changed)

    def _carry_no_more(self) -> None:
        self._silence.stop()
        if self._writable is not None:
            self._endpoint.call_no_more(self._writable)
        self._take_records = self._writable = self._path_changed = None
        self._carried = _nothing
        self._port = None


def _nothing() -> int:
    """What a link has carried that does not carry records yet, or no more."""
    return 0
