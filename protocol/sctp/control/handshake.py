"""The four-way handshake (RFC 9260, 5), also when both begin at once (RFC 8841, 9.3).

    this side sends INIT          the peer answers INIT ACK with a state cookie
              sends COOKIE ECHO   the peer answers COOKIE ACK

The peer may do the same from its side: `status` has the states. Two peers that have each other's
INIT already, by signaling, begin established instead: one round trip less, and nothing to lose.
"""

from collections.abc import Callable
from math import inf

from protocol.randomness import Random
from protocol.sctp import chunks, limits
from protocol.sctp.chunks import Init
from protocol.sctp.config import AssociationConfig
from protocol.sctp.control.cookie import Cookie, Peer, open_cookie, seal_cookie
from protocol.sctp.core import Core
from protocol.sctp.errors import MalformedChunk
from protocol.sctp.status import OPENING, AssociationEvent, AssociationState
from protocol.sctp.timers import Timer

Established = Callable[[Peer, bool, float], None]
"""Called with the peer, whether it has restarted, and now."""

_SECRET_BYTES = 32
_GRANULARITY_S = 0.00001
_LATE_US_MAX = 0xFFFFFFFF
_SUPPORTED = (
    (chunks.PARAMETER_FORWARD_TSN, b""),
    (chunks.PARAMETER_SUPPORTED_CHUNKS, bytes((chunks.RECONFIG, chunks.FORWARD_TSN, chunks.PIECE))),
)
_KNOWN_PARAMETERS = frozenset(
    {
        chunks.PARAMETER_STATE_COOKIE,
        chunks.PARAMETER_UNRECOGNIZED,
        chunks.PARAMETER_SUPPORTED_CHUNKS,
        chunks.PARAMETER_FORWARD_TSN,
        5,  # IPv4 and IPv6 addresses: there is one path, and it is not ours to choose
        6,
        9,  # cookie preservative: our cookies live long enough
        11,  # host name address, deprecated
        12,  # supported address types
    }
)


class AssociationHandshake:
    """Establishes the association; `local_tag` and `first_tsn` are what our own INIT carries.

    `closed` is called if that fails, with the reason.
    """

    def __init__(
        self,
        core: Core,
        established: Established,
        closed: Callable[[str], None],
        own_init: Init | None = None,
    ) -> None:
        self._config = core.config
        self._status = core.status
        self._writer = core.writer
        self._timers = core.timers
        self._round_trip = core.round_trip
        self._random = core.random
        self._established = established
        self._closed = closed
        self._secret = core.random.randbytes(_SECRET_BYTES)
        self.local_tag = own_init.tag if own_init else _new_tag(core.random)
        self.first_tsn = own_init.first_tsn if own_init else _new_tsn(core.random)
        self.peer: Peer | None = None
        self._peer_until = -inf
        self._attempts = 0
        self._asked_at = 0.0
        self._cookie_echo = b""

    # Without a handshake --------------------------------------------------------------------

    def establish(self, peer_init: Init, now: float) -> None:
        """Begin established, for a peer whose INIT came by signaling and that has ours.

        Raises MalformedChunk for an INIT that no handshake would accept.
        """
        if not _acceptable(peer_init):
            raise MalformedChunk("The peer's INIT cannot be used.")
        self._adopt(_peer_of(peer_init), now)
        self._complete(AssociationEvent.INITS_EXCHANGED, False, now)

    # Asking ---------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Send INIT."""
        self._status.apply(AssociationEvent.ASSOCIATE)
        self._attempts = 0
        self._ask(now)

    def on_timer(self, now: float) -> None:
        """No answer: ask again, or give up after Max.Init.Retransmits (RFC 9260, 4.2 and 5.1)."""
        self._attempts += 1
        if self._attempts > limits.INIT_RETRANSMITS_MAX:
            self._closed("The peer does not answer the handshake.")
            return
        self._round_trip.back_off()
        self._ask(now)

    def _ask(self, now: float) -> None:
        if self._status.state is AssociationState.COOKIE_WAIT:
            own = self._own_init(self.local_tag, self.first_tsn, _SUPPORTED)
            self._writer.queue_with_tag(0, chunks.encode_init(chunks.INIT, own))
        else:
            self._writer.queue(self._cookie_echo)
        self._asked_at = now
        self._timers.at[Timer.HANDSHAKE] = now + self._round_trip.rto_s

    def _own_init(
        self, tag: int, first_tsn: int, parameters: tuple[tuple[int, bytes], ...]
    ) -> Init:
        config = self._config
        window_bytes = config.receive_window_bytes
        return Init(tag, window_bytes, config.streams, config.streams, first_tsn, parameters)

    def on_init_ack(self, value: bytes, now: float) -> None:
        """Echo the cookie of an INIT ACK."""
        init = chunks.decode_init(value)
        cookie = next(
            (value for kind, value in init.parameters if kind == chunks.PARAMETER_STATE_COOKIE),
            None,
        )
        if cookie is None:
            missing = chunks.missing_parameter(chunks.PARAMETER_STATE_COOKIE)
            self._refuse(init, chunks.encode_abort(chunks.CAUSE_MISSING_PARAMETER, missing))
            return
        if not _acceptable(init):
            self._refuse(init, chunks.encode_abort(chunks.CAUSE_INVALID_PARAMETER))
            return
        if not self._attempts:
            self._round_trip.on_sample(max(now - self._asked_at, _GRANULARITY_S))
        self._adopt(_peer_of(init), now + limits.COOKIE_LIFETIME_S)
        reports = _unrecognized(init)
        self._cookie_echo = chunks.encode_chunk(chunks.COOKIE_ECHO, 0, cookie)
        if reports:
            cause = (chunks.CAUSE_UNRECOGNIZED_PARAMETERS, b"".join(reports))
            self._cookie_echo += chunks.encode_error(*cause)
        self._status.apply(AssociationEvent.INIT_ACK_RECEIVED)
        self._attempts = 0
        self._ask(now)

    def _refuse(self, init: Init, abort: bytes) -> None:
        if init.tag:
            self._writer.queue_with_tag(init.tag, abort)
        self._closed("The peer's INIT ACK cannot be used.")

    def _adopt(self, peer: Peer, until: float) -> None:
        """Speak to this peer; `until` is when a cookie made for its INIT or INIT ACK expires."""
        self.peer = peer
        self._peer_until = until
        self._writer.set_tag(peer.tag)

    def on_cookie_ack(self, now: float) -> None:
        """The peer has accepted our cookie: a COOKIE ACK says so, or DATA under our tag."""
        if not self._attempts:
            self._round_trip.on_sample(max(now - self._asked_at, _GRANULARITY_S))
        self._complete(AssociationEvent.COOKIE_ACK_RECEIVED, False, now)

    def on_stale_cookie(self, now: float) -> None:
        """Our cookie came too late: begin again (RFC 9260, 5.2.6), within the same attempts."""
        if self._status.state is AssociationState.COOKIE_ECHOED:
            self._status.apply(AssociationEvent.STALE_COOKIE_REPORTED)
            self._writer.set_tag(0)
            self.on_timer(now)

    def _complete(self, event: AssociationEvent, restarted: bool, now: float) -> None:
        self._timers.stop(Timer.HANDSHAKE)
        self._round_trip.reset_backoff()
        self._status.apply(event)
        if self.peer is not None:
            self._established(self.peer, restarted, now)

    # Answering ------------------------------------------------------------------------------

    def on_init(self, value: bytes, now: float) -> None:
        """Answer with a cookie; nothing is remembered (RFC 9260, 5.1, 5.2.1 and 5.2.2)."""
        init = chunks.decode_init(value)
        if init.tag == 0:
            return
        if not _acceptable(init):
            abort = chunks.encode_abort(chunks.CAUSE_INVALID_PARAMETER)
            self._writer.queue_with_tag(init.tag, abort)
            return
        tag, first_tsn, local_tie, peer_tie = self.local_tag, self.first_tsn, 0, 0
        if self.peer is not None and self._status.state is not AssociationState.COOKIE_WAIT:
            local_tie, peer_tie = self.local_tag, self.peer.tag
        if self._status.state not in OPENING:
            tag, first_tsn = _new_tag(self._random), _new_tsn(self._random)
        cookie = Cookie(
            expires_at=now + limits.COOKIE_LIFETIME_S,
            local_tag=tag,
            local_first_tsn=first_tsn,
            peer=_peer_of(init),
            local_tie=local_tie,
            peer_tie=peer_tie,
        )
        parameters = (
            (chunks.PARAMETER_STATE_COOKIE, seal_cookie(cookie, self._secret)),
            *_SUPPORTED,
            *((chunks.PARAMETER_UNRECOGNIZED, report) for report in _unrecognized(init)),
        )
        answer = self._own_init(tag, first_tsn, parameters)
        self._writer.queue_with_tag(init.tag, chunks.encode_init(chunks.INIT_ACK, answer))

    def on_cookie_echo(self, value: bytes, packet_tag: int, now: float) -> bool:
        """Take a cookie back (RFC 9260, 5.2.4); whether the rest of the packet may be read.

        Of two peers that answer to one tag of ours, the one whose INIT came last counts. Raises
        MalformedChunk for a cookie that is not ours.
        """
        cookie = open_cookie(value, self._secret)
        if cookie.local_tag != packet_tag:
            return False
        local_matches = cookie.local_tag == self.local_tag
        peer_matches = self.peer is not None and cookie.peer.tag == self.peer.tag
        opening = self._status.state in OPENING
        if local_matches and peer_matches:
            return self._confirm(opening, now)
        if cookie.expires_at < now:
            self._report_stale(cookie, now)
            return False
        if local_matches and (opening or cookie.expires_at > self._peer_until):
            return self._begin(cookie, not opening, now)
        tied = self.peer is not None and (cookie.local_tie, cookie.peer_tie) == (
            self.local_tag,
            self.peer.tag,
        )
        if tied and self._status.state is AssociationState.SHUTDOWN_ACK_SENT:
            error = chunks.encode_error(chunks.CAUSE_COOKIE_WHILE_SHUTTING_DOWN)
            self._writer.queue(chunks.encode_chunk(chunks.SHUTDOWN_ACK))
            self._writer.queue_with_tag(cookie.peer.tag, error)
        elif tied and not opening:
            return self._begin(cookie, True, now)
        return False

    def _report_stale(self, cookie: Cookie, now: float) -> None:
        late_us = min(int((now - cookie.expires_at) * 1e6), _LATE_US_MAX)
        error = chunks.encode_error(chunks.CAUSE_STALE_COOKIE, late_us.to_bytes(4))
        self._writer.queue_with_tag(cookie.peer.tag, error)

    def _confirm(self, opening: bool, now: float) -> bool:
        self._writer.queue(chunks.encode_chunk(chunks.COOKIE_ACK))
        if opening:
            self._complete(AssociationEvent.COOKIE_ECHO_ACCEPTED, False, now)
        return True

    def _begin(self, cookie: Cookie, restarted: bool, now: float) -> bool:
        self.local_tag, self.first_tsn = cookie.local_tag, cookie.local_first_tsn
        self._adopt(cookie.peer, cookie.expires_at)
        self._writer.queue(chunks.encode_chunk(chunks.COOKIE_ACK))
        self._complete(AssociationEvent.COOKIE_ECHO_ACCEPTED, restarted, now)
        return True


def fresh_init(config: AssociationConfig, random: Random) -> Init:
    """An INIT for an association to come, which signaling brings to the peer."""
    window_bytes, streams = config.receive_window_bytes, config.streams
    tag, first_tsn = _new_tag(random), _new_tsn(random)
    return Init(tag, window_bytes, streams, streams, first_tsn, _SUPPORTED)


def _new_tag(random: Random) -> int:
    return int.from_bytes(random.randbytes(4)) or 1


def _new_tsn(random: Random) -> int:
    return int.from_bytes(random.randbytes(4))


def _acceptable(init: Init) -> bool:
    has_room = init.window_bytes >= limits.PEER_WINDOW_BYTES_MIN
    return bool(init.tag and init.outgoing_streams and init.incoming_streams and has_room)


def _peer_of(init: Init) -> Peer:
    supported = b"".join(
        value for kind, value in init.parameters if kind == chunks.PARAMETER_SUPPORTED_CHUNKS
    )
    forward_tsn = any(kind == chunks.PARAMETER_FORWARD_TSN for kind, _ in init.parameters)
    return Peer(
        tag=init.tag,
        window_bytes=init.window_bytes,
        outgoing_streams=init.outgoing_streams,
        incoming_streams=init.incoming_streams,
        first_tsn=init.first_tsn,
        forward_tsn=forward_tsn or chunks.FORWARD_TSN in supported,
        reconfigures=chunks.RECONFIG in supported,
        takes_pieces=chunks.PIECE in supported,
    )


def _unrecognized(init: Init) -> list[bytes]:
    """Return the parameters to report, by the two highest bits of their types (3.2.1)."""
    reports: list[bytes] = []
    for kind, value in init.parameters:
        if kind in _KNOWN_PARAMETERS:
            continue
        if kind >> 8 & chunks.ACTION_REPORT:
            reports.append(chunks.encode_parameter(kind, value))
        if not kind >> 8 & chunks.ACTION_SKIP:
            break
    return reports
