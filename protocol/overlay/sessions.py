"""What a node remembers of each peer it exchanges datagrams with: keys, replays, tokens, RTT."""

from math import inf
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
_SHARED_SAMPLES_MIN = 4
_SHARED_SAMPLES_SURE = 8


def _time_limit_s(smoothed_s: float, deviation_s: float, extra_s: float) -> float:
    """RFC 6298, 2, within the bounds of limits, of which a slow line makes the upper one longer."""
    longest_s = limits.TIMEOUT_MAX_S + extra_s
    return min(max(smoothed_s + 4 * deviation_s, limits.TIMEOUT_MIN_S), longest_s)


class SharedRoundTrip:
    """The smoothed RTT over all contacts, for one without a sample of its own.

    Contacts differ far more than the packets of one do, so the gains are those of a plain mean over
    the first _SHARED_SAMPLES samples.
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

    def timeout_s(self, extra_s: float = 0.0) -> float:
        """Seconds to wait for a contact without a sample, within the bounds in limits.

        `extra_s`: how much longer each round trip may take on a slow line (`OwnLine`).
        """
        if self._samples < _SHARED_SAMPLES_MIN:
            return limits.TIMEOUT_UNKNOWN_S + extra_s
        limit_s = _time_limit_s(self._smoothed_s, self._deviation_s, extra_s)
        if self._samples < _SHARED_SAMPLES_SURE:  # a few near ones may be the first
            return min(2 * limit_s, limits.TIMEOUT_UNKNOWN_S + extra_s)
        return limit_s


class ReplayGuard:
    """The replay window of one peer's requests (RFC 6479), in one epoch at a time."""

    __slots__ = ("_epoch", "_epochs_left", "_highest", "_noted_at", "_seen")

    def __init__(self) -> None:
        self._epoch = b""
        self._epochs_left: tuple[bytes, ...] = ()
        self._highest = -1
        self._seen = 0
        self._noted_at = 0.0

    def accept(self, epoch: bytes, counter: int, now: float, *, proved: bool) -> None:
        """Note a request of the peer; raises Replayed if it came before, or is too old to tell.

        A new epoch is taken up only with proof of address, and one that was left is never returned
        to. A request of another epoch without proof changes nothing here. What was noted is
        forgotten once every token that an old request may bear has expired: so a peer whose counter
        fell back, as in a machine restored from a snapshot, is not refused for ever.
        """
        if now - self._noted_at > _TOKENS_DEAD_S:
            self._epoch, self._epochs_left = b"", ()
        if epoch in self._epochs_left:
            raise Replayed("a request of an earlier run of its sender")
        if not self._epoch or (self._epoch != epoch and proved):
            if self._epoch:
                self._epochs_left = (self._epoch, *self._epochs_left)[: limits.EPOCHS_LEFT]
            self._epoch, self._highest, self._seen = epoch, -1, 0
        if self._epoch == epoch:
            self._note(counter)
            self._noted_at = now

    def _note(self, counter: int) -> None:
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


class PeerSession:
    """One peer: its keys, its RTT, the tokens that prove addresses, and its replay window.

    A node holds thousands, so both keys are one piece of memory, the contact is shared with the
    tables, and a peer that has sent no request has no replay guard. `smoothed_s` is the smoothed
    RTT of RFC 6298, 2; None while unknown, since a sample may be 0 where the clock is coarser than
    the RTT. `introducing_bytes` are those of the peer's answers that may still be sent to addresses
    that only it names.
    """

    __slots__ = (
        "_asked_at",
        "_deviation_s",
        "_guard",
        "_keys",
        "_lives_at",
        "_token",
        "_token_at",
        "_token_of",
        "_unanswered_at",
        "contact",
        "introducing_bytes",
        "issued",
        "smoothed_s",
        "used",
    )

    def __init__(self, contact: Contact, keys: PacketKeys) -> None:
        self.contact = contact
        self._keys = keys.outgoing + keys.incoming
        self.smoothed_s: float | None = None
        self._deviation_s = 0.0
        self._guard: ReplayGuard | None = None
        self._lives_at: Address | None = None
        self.issued: Issued | None = None
        self.used = False
        self.introducing_bytes = 0
        # When the first and the last request left since the peer last answered.
        self._unanswered_at = self._asked_at = -inf
        # The token by which we prove our address to the peer, and the contact that gave it.
        self._token = b""
        self._token_of = contact
        self._token_at = 0.0

    @property
    def outgoing_key(self) -> bytes:
        """The key of datagrams to the peer."""
        return self._keys[: len(self._keys) // 2]

    @property
    def incoming_key(self) -> bytes:
        """The key of datagrams from the peer."""
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

    def proved_to_be_at(self, address: Address) -> None:
        """The peer received there: it sent a token back, or an answer to our request."""
        self._lives_at = address

    def lives_at(self, address: Address) -> bool:
        """Whether this is where the peer last proved to be."""
        return self._lives_at == address

    def earned(self, received_bytes: int) -> None:
        """An answer of so many bytes came: so many may be sent to what the peer names."""
        earned = self.introducing_bytes + received_bytes
        self.introducing_bytes = min(earned, limits.INTRODUCING_BYTES)

    def spent(self, sent_bytes: int) -> None:
        """So many of `introducing_bytes` were sent to what the peer names."""
        self.introducing_bytes -= sent_bytes

    def asked(self, now: float) -> None:
        """A request leaves for the peer."""
        if now - self._asked_at > limits.PORT_STEP_S:
            self._unanswered_at = now
        self._asked_at = now

    def answered(self, sent_at: float) -> float:
        """When the first of the requests left that a NAT may have made the mapping for by which
        that of `sent_at` was seen: those before it may have been lost behind the NAT.
        """
        first_at = min(self._unanswered_at, sent_at)
        self._unanswered_at = inf
        return first_at

    def measured(self, rtt_s: float) -> None:
        """Take the round trip of a request that was not repeated."""
        if self.smoothed_s is None:
            self.smoothed_s, self._deviation_s = rtt_s, rtt_s / 2
            return
        error = abs(self.smoothed_s - rtt_s)
        self._deviation_s += _DEVIATION_GAIN * (error - self._deviation_s)
        self.smoothed_s += _RTT_GAIN * (rtt_s - self.smoothed_s)

    def timeout_s(self, extra_s: float = 0.0) -> float:
        """Seconds to wait for the peer's response, within the bounds in limits; see above."""
        if self.smoothed_s is None:
            return limits.TIMEOUT_UNKNOWN_S + extra_s
        return _time_limit_s(self.smoothed_s, self._deviation_s, extra_s)

    def accept(self, epoch: bytes, counter: int, now: float, *, proved: bool) -> None:
        """Note a request of the peer; see `ReplayGuard.accept`."""
        if self._guard is None:
            self._guard = ReplayGuard()
        self._guard.accept(epoch, counter, now, proved=proved)

    def token_for(self, contact: Contact, now: float, since: float = 0.0) -> bytes:
        """The token to send to this peer at the address of `contact`; empty without a fresh one.

        One that came before `since` is of no use, as our own address was another.
        """
        if not self._token or self._token_at < max(since, now - limits.TOKEN_PERIOD_S):
            return b""
        return self._token if self._token_of.packed == contact.packed else b""

    def forget_token(self) -> None:
        """The peer leaves: what it gave out is worth nothing in its next run."""
        self._token = b""

    def learn_token(self, token: bytes, contact: Contact, now: float) -> None:
        """Keep the token of a response that came from the address of `contact`."""
        self._token, self._token_of, self._token_at = token, contact, now


class PeerSessions:
    """The peers remembered; one that was not used lately is forgotten first (CLOCK).

    Moving a used session to the end of the dictionary (LRU) would cost more than all else that a
    datagram does with it, so use is only noted: a used session is passed over once.
    """

    def __init__(self, capacity: int = limits.PEERS_REMEMBERED) -> None:
        self._capacity = capacity
        # By the peer id as a number, which every contact holds already.
        self._sessions: dict[int, PeerSession] = {}

    def get(self, number: int) -> PeerSession | None:
        """The session with the peer of this id, if remembered."""
        session = self._sessions.get(number)
        if session is not None:
            session.used = True
        return session

    def add(self, session: PeerSession) -> None:
        """Remember a peer, and forget another where there is no room for it."""
        sessions = self._sessions
        number = session.contact.number
        while number not in sessions and len(sessions) >= self._capacity:
            first = next(iter(sessions))
            oldest = sessions.pop(first)
            if oldest.used:
                oldest.used = False
                sessions[first] = oldest
        sessions[number] = session

    def __len__(self) -> int:
        return len(self._sessions)


class Tokens:
    """Proofs of address (BEP 5): a keyed hash over address, peer and period.

    A token is good in the period it was made in and the next one.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, session: PeerSession, address: Address, now: float) -> bytes:
        """The token for a peer at an address; `now` is monotonic seconds."""
        period = int(now // limits.TOKEN_PERIOD_S)
        issued = session.issued
        if issued is None or issued.period != period or issued.address != address:
            token = self._hash(session.public_key, address, period)
            issued = session.issued = Issued(address, period, token)
        return issued.token

    def proves(self, token: bytes, session: PeerSession, address: Address, now: float) -> bool:
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
