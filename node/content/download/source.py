"""One source of a download: what it said of the mod, and how it keeps its word."""

from dataclasses import dataclass, field

from node.content.download.chunk_source import ChunkSource, ChunkStream
from protocol import limits
from protocol.content import frames
from protocol.errors import OverLimit


@dataclass(slots=True)
class Source:
    """A source with a stream for the mod. Phases see it once `opened` is set."""

    found: ChunkSource
    stream: ChunkStream
    asked_at: float
    """Since when its stream could have been answered."""
    opened: frames.Opened | None = None
    opened_at: float = 0.0
    bits: bytearray = field(default_factory=bytearray)
    """The chunks of its Have answers: a bit a chunk, the highest of a byte first."""
    manifest_left: int = 0
    """Bytes of a manifest that it may still send, though another source was faster."""
    is_proved: bool = False
    """It has sent something whole that hashed to what was asked for."""
    is_late: bool = False
    """It owes something that others would have sent by now."""
    _idle_haves: int = 0

    @property
    def name(self) -> str:
        """Tells it from every other source."""
        return self.found.name

    def is_unanswering(self, now: float) -> bool:
        """Whether it owes the answer to Open for longer than its line and its disk explain."""
        round_trip_s = self.stream.round_trip_s
        patience_s = limits.STALL_S
        if round_trip_s is not None:
            patience_s = limits.OPEN_ANSWER_S + limits.OPEN_ANSWER_TRIPS * round_trip_s
        return self.opened is None and now - self.asked_at > min(patience_s, limits.SILENT_S)

    def not_asked_yet(self, now: float) -> None:
        """Its stream waits for this node's other downloads: it owes no answer."""
        self.asked_at = now

    def opens(self, answer: frames.Opened, now: float) -> None:
        """It has the mod, and can be asked."""
        self.opened, self.opened_at = answer, now

    def holds(self, have: frames.Have) -> None:
        """Note that it holds these chunks as well; raises OverLimit if it keeps telling no news."""
        start, end = have.first // 8, have.first // 8 + len(have.bits)
        self.bits.extend(bytes(max(0, end - len(self.bits))))
        before = int.from_bytes(self.bits[start:end])
        held = before | int.from_bytes(have.bits)
        self.bits[start:end] = held.to_bytes(end - start)
        if held == before:
            self._idle_haves += 1
            if self._idle_haves > limits.HAVES_WITHOUT_NEWS:
                raise OverLimit("it goes on telling what it holds, and nothing of it is new")

    def proves(self) -> None:
        """Something whole came of it, and hashed to what was asked for."""
        self.is_proved = True

    def judge(self, *, late: bool) -> None:
        """Note whether others would have sent by now what it owes."""
        self.is_late = late

    def lost_the_race(self, manifest_left: int) -> None:
        """Another source sent the manifest: so many bytes of this one's may still come."""
        self.manifest_left = manifest_left

    def takes_late_manifest(self, piece: frames.ManifestPiece) -> bool:
        """Whether a piece is the rest of a manifest that is not needed any more."""
        rest, self.manifest_left = self.manifest_left, self.manifest_left - len(piece.data)
        return 0 < len(piece.data) <= rest
