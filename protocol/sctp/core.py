"""What all parts of one association share."""

from collections import Counter

from protocol.randomness import Random
from protocol.sctp.config import AssociationConfig
from protocol.sctp.events import Inbox
from protocol.sctp.packets import PacketWriter
from protocol.sctp.receive.work import WorkBudget
from protocol.sctp.send.outqueue import OutQueue
from protocol.sctp.send.rtt import RoundTrip
from protocol.sctp.status import AssociationStatus
from protocol.sctp.timers import Timers


class Core:
    """State with hardly any behaviour of its own; it outlives a restart of the peer.

    `counters` says what was dropped or refused, and why.
    """

    __slots__ = (
        "config",
        "counters",
        "inbox",
        "packet_bytes",
        "queue",
        "random",
        "round_trip",
        "status",
        "timers",
        "window_bytes",
        "work",
        "writer",
    )

    def __init__(self, config: AssociationConfig, random: Random) -> None:
        self.config = config
        self.random = random
        self.packet_bytes = config.packet_bytes
        self.window_bytes = config.receive_window_bytes
        self.counters: Counter[str] = Counter()
        self.status = AssociationStatus()
        self.timers = Timers()
        self.inbox = Inbox()
        self.queue = OutQueue()
        self.round_trip = RoundTrip(config.rto_min_s)
        self.work = WorkBudget()
        self.writer = PacketWriter(config.local_port, config.remote_port)

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """What is built next has packets of this size."""
        self.packet_bytes = packet_bytes

    def limit_window(self, window_bytes: int) -> None:
        """The receiving half that is made next, also after a restart, holds so much."""
        self.window_bytes = window_bytes
