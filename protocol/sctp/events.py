"""What an association tells its application, drained by `Association.events()`."""

from dataclasses import dataclass

from protocol.sctp import limits


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake is done: both directions carry data."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The peer has restarted (RFC 9260, 5.2.4.1); a ChannelClosed came before for every channel."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The association is over.

    `reason` is a plain sentence; `by_peer`: the peer ended it; `graceful`: all data arrived.
    """

    reason: str
    by_peer: bool
    graceful: bool


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """A data channel may be used.

    `by_peer`: the peer asked for it. Otherwise the peer has confirmed ours, which could already
    be sent on since `open_channel`.
    """

    stream_id: int
    label: str
    protocol: str
    ordered: bool
    max_retransmits: int | None
    max_lifetime_ms: int | None
    by_peer: bool


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """A data channel is closed in both directions; its stream may be used again."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """One whole message. Text (`binary` false) is UTF-8, not yet checked."""

    stream_id: int
    data: bytes
    binary: bool


@dataclass(frozen=True, slots=True)
class BufferedAmountLow:
    """What a stream has queued fell to its threshold or below."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class PathProbed:
    """A probe was acknowledged: the path carries SCTP packets of so many bytes (RFC 8899)."""

    packet_bytes: int


@dataclass(frozen=True, slots=True)
class PathNarrowed:
    """The path seems to swallow large packets (RFC 8899, 4.3): none leave until a probe has passed.

    `had_carried`: one with data had arrived since packets grew.
    """

    had_carried: bool


Event = (
    Connected
    | Restarted
    | Closed
    | ChannelOpened
    | ChannelClosed
    | MessageReceived
    | BufferedAmountLow
    | PathProbed
    | PathNarrowed
)


class Inbox:
    """Events that the application has not taken yet.

    `undrained_bytes` is what their messages cost: they count against the receive window.
    `delivered_bytes` is what all messages had so far.
    """

    __slots__ = ("delivered_bytes", "events", "undrained_bytes")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.undrained_bytes = 0
        self.delivered_bytes = 0

    def add(self, event: Event) -> None:
        """Tell the application."""
        self.events.append(event)

    def add_message(self, stream_id: int, data: bytes, binary: bool) -> None:
        """Hand over a message."""
        self.undrained_bytes += len(data) + limits.MESSAGE_OVERHEAD_BYTES
        self.delivered_bytes += len(data)
        self.events.append(MessageReceived(stream_id, data, binary))

    def drain(self) -> list[Event]:
        """Return everything since the last call."""
        events, self.events = self.events, []
        self.undrained_bytes = 0
        return events
