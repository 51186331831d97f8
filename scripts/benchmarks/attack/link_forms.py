"""Requests over a link, of one node to another."""

from collections.abc import Callable, Iterable

from node.links.channel.native_channel import NativeChannel
from node.links.link import Link
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentFrame
from protocol.frame_types import CONTENT_TYPES
from protocol.sctp import chunks
from protocol.sctp import limits as sctp_limits
from scripts.benchmarks.attack.form import Form
from simulations.attacks.forged_datagrams import FORGED

CHUNKS = 100_000
_FIRST_STREAM = 10_000

_FEW = sctp_limits.CONTROL_PER_PACKET
_REPORTED = chunks.encode_chunk(0xC1)
_HEARTBEAT = chunks.encode_chunk(chunks.HEARTBEAT, 0, b"\0\1\0\4")
_PACKETS = (
    ("SCTP packet, 280 unknown chunks", _REPORTED * 280, 1 + sctp_limits.WORK_OF_REFUSAL),
    ("SCTP packet, 16 unknown chunks", _REPORTED * _FEW, 1 + _FEW * sctp_limits.WORK_OF_CONTROL),
    ("SCTP packet, 16 heartbeats", _HEARTBEAT * _FEW, 1 + _FEW * sctp_limits.WORK_OF_CONTROL),
)


class LinkAsker:
    """Asks over a link: for a big mod of which nothing is there, and for one that is there."""

    def __init__(self, link: Link, partial: bytes, whole: bytes, chunks: int) -> None:
        self._link = link
        self._partial = partial
        self._whole = whole
        self._chunks = chunks
        self._stream = _FIRST_STREAM
        channel = link.channel
        assert isinstance(channel, NativeChannel)
        self._channel = channel
        # The asker's node has asked for nothing: it would end the link at the first answer.
        link._handlers.update(dict.fromkeys(CONTENT_TYPES, lambda _: None))

    def forms(self) -> list[Form]:
        """Each request, alone or as attackers join them.

        Answers that no request asked for are no form: the first one ends the link.
        """
        opens = limits.OPENS_PER_SECOND
        many = tuple(range(limits.REQUESTS_PER_STREAM))
        return [
            Form(
                "open, close", lambda _: self._opened(self._partial), pause_s=1 / opens, count=300
            ),
            Form("open, close, faster than is answered", lambda _: self._opened(self._partial)),
            Form("open, mod unknown", lambda _: self._opened(bytes(32)), pause_s=1 / opens),
            Form("get manifest", lambda _: self._manifest(), count=20, pause_s=2.0),
            Form(
                "get chunks, 1024 that are missing",
                lambda _: self._wanted(self._partial, many),
                count=50,
                pause_s=0.4,
            ),
            Form(
                "get chunks, one",
                lambda n: self._wanted(self._whole, (n % self._chunks,)),
                count=100,
                pause_s=0.2,
            ),
            Form("get chunks, cancel at once", self._cancelled, count=100, pause_s=0.2),
            Form("cancel", lambda _: self._say(frames.Cancel(1)), prepare=self._open_one),
            Form("close, stream unknown", lambda _: self._say(frames.Close(7))),
            *(self._packet_form(*row) for row in _PACKETS),
            *(self._forged_form(*row) for row in FORGED.items()),
        ]

    def _forged_form(self, name: str, make: Callable[[str], bytes]) -> Form:
        """From the peer's address, where most of the node's code is reached."""
        made: list[bytes] = []

        def prepare(_number: int) -> None:
            made.append(make(self._username()))

        return Form(f"forged for a link: {name}", lambda _: self._forge(made.pop()), prepare)

    def _username(self) -> str:
        agent = self._channel.dtls.ice.agent
        session = agent._current
        assert session.connectivity is not None
        return f"{session.connectivity.remote_ufrag.decode()}:{session.ufrag.decode()}"

    def _forge(self, datagram: bytes) -> None:
        path = self._channel.dtls.ice
        path.send_segments(datagram, len(datagram))

    def _packet_form(self, name: str, body: bytes, work: int) -> Form:
        """As often as a link bears it: one that sends more is ended."""
        rate = sctp_limits.WORK_RATE / work
        return Form(name, lambda _: self._packet(body), count=50, pause_s=2 / rate, rate_most=rate)

    def _packet(self, body: bytes) -> None:
        writer = self._channel._association._core.writer
        self._channel.dtls.send_packets([writer.seal(body)])

    def keep(self) -> None:
        """Use the link, which an idle one would not survive."""
        self._say(frames.Close(7))

    async def close(self) -> None:
        """End the link."""
        await self._link.close()

    def _say(self, *said: ContentFrame) -> None:
        for frame in said:
            self._link.send(frames.encode_frame(frame))

    def _opened(self, mod_id: bytes, between: Iterable[ContentFrame] = ()) -> None:
        self._stream += 1
        self._say(frames.Open(self._stream, mod_id), *between, frames.Close(self._stream - 1))

    def _manifest(self) -> None:
        self._opened(self._partial, [frames.GetManifest(self._stream + 1)])

    def _wanted(self, mod_id: bytes, chunks: tuple[int, ...]) -> None:
        self._opened(mod_id, [frames.GetChunks(self._stream + 1, chunks)])

    def _cancelled(self, number: int) -> None:
        stream = self._stream + 1
        wanted = tuple((number + more) % self._chunks for more in range(16))
        self._opened(self._whole, [frames.GetChunks(stream, wanted), frames.Cancel(stream)])

    def _open_one(self, number: int) -> None:
        if not number:
            self._say(frames.Open(1, self._partial))
