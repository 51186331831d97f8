"""What a node remembers of each peer it exchanges datagrams with: keys, replays, tokens, RTT."""

from typing import NamedTuple

from protocol import limits
from protocol.addresses import Address
from protocol.datagrams import PacketKeys
from protocol.errors import Replayed
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.overlay.proofs import proof_of_address

_RTT_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_TOKENS_DEAD_S = 2 * limits.TOKEN_PERIOD_S
_SHARED_SAMPLES = 64
_SHARED_SAMPLES_MIN = 8


class RoundTrip:
    """Smoothed RTT and its deviation, by RFC 6298, 2."""

    __slots__ = ("_deviation_s", "smoothed_s")

    def __init__(self) -> None:
        # None while unknown: a sample may be 0 where the clock is coarser than the path.
        self.smoothed_s: float | None = None
        self._deviation_s = 0.0

    def measured(self, rtt_s: float) -> None:
        """Take one sample of a request that was not repeated."""
        if self.smoothed_s is None:
            self.smoothed_s, self._deviation_s = rtt_s, rtt_s / 2
            return
        error = abs(self.smoothed_s - rtt_s)
        self._deviation_s += _DEVIATION_GAIN * (error - self._deviation_s)
        self.smoothed_s += _RTT_GAIN * (rtt_s - self.smoothed_s)

    def timeout_s(self) -> float:
        """How long to wait before giving a contact up, clamped to the bounds in limits."""
        if self.smoothed_s is None:
            return limits.TIMEOUT_UNKNOWN_S
        wanted = self.smoothed_s + 4 * self._deviation_s
        return min(max(wanted, limits.TIMEOUT_MIN_S), limits.TIMEOUT_MAX_S)


class SharedRoundTrip:
    """What to expect of a contact never met: the round trips of all others, slowly forgotten.

    Contacts differ far more than the packets of one do, so a few in a row say little: the gains
    start as those of a plain mean.
    """

    __slots__ = ("_deviation_s", "_samples", "_smoothed_s")

    def __init__(self) -> None:
        self._samples = 0
        self._smoothed_s = self._deviation_s = 0.0

    def measured(self, rtt_s: float) -> None:
        """Take one sample."""
        self._samples = min(self._samples + 1, _SHARED_SAMPLES)
        error = rtt_s - self._smoothed_s
        self._smoothed_s += error / self._samples
        self._deviation_s += (abs(error) - self._deviation_s) / self._samples

    def timeout_s(self) -> float:
        """How long to wait before giving a stranger up, clamped to the bounds in limits."""
        if self._samples < _SHARED_SAMPLES_MIN:
            return limits.TIMEOUT_UNKNOWN_S
        wanted = self._smoothed_s + 4 * self._deviation_s
        return min(max(wanted, limits.TIMEOUT_MIN_S), limits.TIMEOUT_MAX_S)


class ReplayWindow:
    """Which request counters of one epoch have been seen (the window of RFC 6479 in one int)."""

    __slots__ = ("_highest", "_seen", "epoch")

    def __init__(self, epoch: bytes) -> None:
        self.epoch = epoch
        self._highest = -1
        self._seen = 0

    def accept(self, counter: int) -> None:
        """Note a counter; raises Replayed if it was seen, or is too old to tell."""
        ahead = counter - self._highest
        if ahead > 0:
            kept = self._seen << ahead if ahead < limits.REPLAY_WINDOW else 0
            self._seen = (kept | 1) & ((1 << limits.REPLAY_WINDOW) - 1)
            self._highest = counter
            return
        # Too old comes first: the peer chooses the distance, and 1 << distance is as many bits.
        if -ahead >= limits.REPLAY_WINDOW or self._seen & 1 << -ahead:
            raise Replayed("a request that was seen before")
        self._seen |= 1 << -ahead


class Issued(NamedTuple):
    """The token that a peer was last given, and what it proves."""

    address: Address
    period: int
    token: bytes


class Session:
    """One peer: its keys, and what is known of its address and its counters.

    A node holds thousands, so both keys are one piece of memory, and the contact is shared with
    the tables.
    """

    __slots__ = (
        "_epochs_left",
        "_keys",
        "_noted_at",
        "_token",
        "_token_at",
        "_token_of",
        "contact",
        "issued",
        "round_trip",
        "window",
    )

    def __init__(self, contact: Contact, keys: PacketKeys) -> None:
        self.contact = contact
        self._keys = keys.outgoing + keys.incoming
        self.round_trip = RoundTrip()
        self.window: ReplayWindow | None = None
        self._epochs_left: tuple[bytes, ...] = ()
        self._noted_at = 0.0
        self.issued: Issued | None = None
        # What the peer gave us to prove our address to it, and the contact that gave it.
        self._token = b""
        self._token_of = contact
        self._token_at = 0.0

    @property
    def outgoing_key(self) -> bytes:
        """The key of what we send to the peer."""
        return self._keys[: len(self._keys) // 2]

    @property
    def incoming_key(self) -> bytes:
        """The key of what the peer sends to us."""
        return self._keys[len(self._keys) // 2 :]

    @property
    def public_key(self) -> bytes:
        """Ed25519, 32 bytes."""
        return self.contact.public_key

    @property
    def peer_id(self) -> PeerId:
        """20 bytes."""
        return self.contact.peer_id

    def contact_at(self, address: Address) -> Contact:
        """The peer as a contact, made once for each address that it sends from in a row."""
        if self.contact.address != address:
            self.contact = Contact.at(self.public_key, address)
        return self.contact

    def accept(self, epoch: bytes, counter: int, now: float, *, proved: bool) -> None:
        """Note a request of the peer; raises Replayed if it came before.

        A new epoch is followed only with proof of address, and one that was left is never
        returned to. A request of another epoch without proof changes nothing here. What was noted
        is forgotten once every token has died that an old request may bear: a peer whose counter
        went astray, as in a machine restored from a snapshot, is not refused for ever.
        """
        if now - self._noted_at > _TOKENS_DEAD_S:
            self.window, self._epochs_left = None, ()
        if epoch in self._epochs_left:
            raise Replayed("a request of an earlier run of its sender")
        if self.window is None or (self.window.epoch != epoch and proved):
            if self.window is not None:
                left = (self.window.epoch, *self._epochs_left)
                self._epochs_left = left[: limits.EPOCHS_LEFT]
            self.window = ReplayWindow(epoch)
        if self.window.epoch == epoch:
            self.window.accept(counter)
            self._noted_at = now

    def token_for(self, address: Address, now: float) -> bytes:
        """The token to send to this peer at this address, empty if there is none that is fresh."""
        if not self._token or now - self._token_at > limits.TOKEN_PERIOD_S:
            return b""
        return self._token if self._token_of.address == address else b""

    def learn_token(self, token: bytes, contact: Contact, now: float) -> None:
        """Keep the token of a response of this peer, which came from where `contact` is."""
        self._token, self._token_of, self._token_at = token, contact, now


class Sessions:
    """The peers remembered, the longest unused forgotten first."""

    def __init__(self, capacity: int = limits.PEERS_REMEMBERED) -> None:
        self._capacity = capacity
        # By the peer id as a number, which every contact holds already. A dictionary keeps the
        # order of insertion, at half of what an OrderedDict takes.
        self._sessions: dict[int, Session] = {}

    def get(self, number: int) -> Session | None:
        """The session with the peer of this id, if remembered."""
        session = self._sessions.pop(number, None)
        if session is not None:
            self._sessions[number] = session
        return session

    def add(self, session: Session) -> None:
        """Remember a peer, and forget the longest unused beyond the capacity."""
        self._sessions[session.contact.number] = session
        if len(self._sessions) > self._capacity:
            del self._sessions[next(iter(self._sessions))]

    def __len__(self) -> int:
        return len(self._sessions)


class Tokens:
    """Proofs of address (BEP 5): a keyed hash over address, peer and period.

    A token is good in the period it was made in and the next one.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, session: Session, address: Address, now: float) -> bytes:
        """The token for a peer at an address; `now` is monotonic seconds."""
        period = int(now // limits.TOKEN_PERIOD_S)
        issued = session.issued
        if issued is None or issued.period != period or issued.address != address:
            token = self._hash(session.public_key, address, period)
            issued = session.issued = Issued(address, period, token)
        return issued.token

    def proves(self, token: bytes, session: Session, address: Address, now: float) -> bool:
        """Whether `token` was made for this peer at this address not long ago."""
        if not token:
            return False
        if token == self.make(session, address, now):
            return True
        period = int(now // limits.TOKEN_PERIOD_S)
        return token == self._hash(session.public_key, address, period - 1)

    def _hash(self, public_key: bytes, address: Address, period: int) -> bytes:
        return proof_of_address(
            self._secret, b"modswarm/token", limits.TOKEN_BYTES, public_key, address, period
        )
