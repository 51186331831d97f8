"""Requests and responses over sealed datagrams: sessions, proofs of address, time limits.

Nothing here depends on what a request means. The endpoint's demultiplexer calls the reader of each
kind of datagram, and counts an error of a peer under the name of the error that the reader raises.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.overlay.reachability.own_clock import OwnClock
from node.overlay.reachability.own_network import OwnNetwork
from node.overlay.rpc.admission import Admission, RefusedAgreements
from node.overlay.rpc.deadlines import Deadlines
from node.overlay.rpc.hello import Hellos
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.pending import Pending, Reply, resolving
from node.overlay.rpc.unanswered import UnansweredRequests
from node.overlay.settings import OverlaySettings
from protocol import datagrams, limits
from protocol.addresses import Address
from protocol.aead import XCHACHA_NONCE_BYTES
from protocol.errors import (
    BadPuzzle,
    BadToken,
    ModswarmError,
    Overloaded,
    RemoteError,
    TimedOut,
    UnexpectedReply,
)
from protocol.identity import Identity, checked_peer_id, id_number
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    ANSWERED_LATER,
    EPOCH_BYTES,
    TELL_THE_TIME,
    Code,
    Method,
    Request,
    Response,
    code_of,
    decode_body,
    decode_pong,
    encode_request,
    encode_response,
)
from protocol.overlay.sessions import PeerSession, PeerSessions, SharedRoundTrip, Tokens
from protocol.rate_limit import HostRateLimit


class Wire:
    """The overlay's end of an endpoint. The handler that `serve` was given takes requests.

    `own_network` is told at which address each contact sees us, and gives the flags of requests;
    `own_clock` is told what contacts that were pinged say the time is.
    """

    def __init__(
        self,
        identity: Identity,
        environment: Environment,
        counters: Counters,
        endpoint: Endpoint,
        settings: OverlaySettings,
        own_network: OwnNetwork,
        own_clock: OwnClock,
    ) -> None:
        self._identity = identity
        self._rng = environment.rng
        self._counters = counters
        self._cipher = settings.cipher
        self._puzzle_bits = settings.puzzle_bits
        self._own_network = own_network
        self._own_clock = own_clock
        self._serve: Callable[[Incoming], None] = _not_serving
        self._loop = asyncio.get_running_loop()
        self._sessions = PeerSessions(settings.peers_remembered)
        self._tokens = Tokens(self._rng.randbytes(32))
        self._epoch = self._rng.randbytes(EPOCH_BYTES)
        self._counter = 0
        self._pending: dict[bytes, Pending] = {}
        self._deadlines = Deadlines(self._pending.__contains__, self._expire)
        self._shared_rtt = SharedRoundTrip()
        self.line = own_network.line
        self.heard_at = -math.inf
        self.unanswered = UnansweredRequests()
        self._host_rate_limit, self._unproved_rate_limit = (
            HostRateLimit(limits.REQUESTS_PER_SECOND_PER_HOST, limits.REQUEST_BURST_PER_HOST)
            for _ in range(2)
        )
        self._demux = endpoint.demux
        self._send = endpoint.sendto
        self._prompt = endpoint.beat.prompt
        self._agreements = RefusedAgreements()
        self._admission = Admission(self._rng.randbytes(32), self._loop.time, self._send)
        self._hellos = Hellos(identity, self._rng, puzzle_bits=self._puzzle_bits, send=self._send)

    async def hello(self, address: Address, timeout_s: float) -> Contact:
        """The contact at `address`, by its signed reply to a hello; raises TimedOut."""
        self._prompt()
        asked_at = self._loop.time()
        self.unanswered.asked(address, asked_at)
        contact = await self._hellos.ask(address, timeout_s)
        self.unanswered.answered()
        session = self._sessions.get(contact.number) or self._new_session(contact)
        session.asked(asked_at)  # a NAT on the way maps for the hello
        self._sessions.add(session)
        return contact

    def listen(self) -> None:
        """Take the endpoint's datagrams from now on. Called once; raises AlreadyOwned."""
        for first_byte, reader in (
            (self._cipher.first_byte, self._receive_sealed),
            (datagrams.HELLO, self._hellos.receive_hello),
            (datagrams.HELLO_REPLY, self._hellos.receive_reply),
            (datagrams.COOKIE, self._receive_cookie),
        ):
            self._demux.register_reader(first_byte, reader)

    def serve(self, handler: Callable[[Incoming], None]) -> None:
        """From now on `handler` takes each request, and raises RemoteError for a wrong one."""
        self._serve = handler

    def begin_new_epoch(self) -> None:
        """Number our requests from the start again, as after a restart.

        Peers refuse our requests as replays where this machine was restored from a snapshot, until
        its requests have a new epoch.
        """
        self._epoch = self._rng.randbytes(EPOCH_BYTES)
        self._counter = 0

    def close(self) -> None:
        """Forget all pending requests, without any call of their `on_reply`."""
        self._deadlines.clear()
        self._pending.clear()
        self._hellos.close()

    # Receiving ----------------------------------------------------------------------------

    def _receive_sealed(self, datagram: bytes, address: Address) -> None:
        public_key = datagrams.sender_of(datagram)
        session = self._sessions.get(id_number(public_key))
        if session is None:
            session = self._admit(datagram, public_key, address)
            body = datagrams.unseal(self._cipher, session.incoming_key, datagram)
            self._agreements.pop(public_key)
            self._sessions.add(session)
        else:
            body = datagrams.unseal(self._cipher, session.incoming_key, datagram)
        message = decode_body(body)
        if isinstance(message, Response):
            self._take_response(session, address, message, len(datagram))
        else:
            self._take_request(session, address, message)

    def _admit(self, datagram: bytes, public_key: bytes, address: Address) -> PeerSession:
        """A session with an unknown key; the cheapest check comes first."""
        checked_peer_id(public_key, self._puzzle_bits)
        self._unproved_rate_limit.charge(address.host, self._loop.time())
        keys = self._agreements.get(public_key)
        if keys is None:
            self._admission.admit(datagram, public_key, address)
            keys = self._cipher.keys(self._identity, public_key)
            self._agreements.add(public_key, keys)
        return PeerSession(Contact.at(public_key, address), keys)

    def _new_session(self, contact: Contact) -> PeerSession:
        return PeerSession(contact, self._cipher.keys(self._identity, contact.public_key))

    def _take_request(self, session: PeerSession, address: Address, request: Request) -> None:
        now = self._loop.time()
        proved = self._tokens.proves(request.token, session, address, now)
        if proved:
            session.proved_to_be_at(address)
        # Others can send in a host's name, and so use up only what is served without proof.
        known = session.lives_at(address)
        (self._host_rate_limit if known else self._unproved_rate_limit).charge(address.host, now)
        session.accept(request.epoch, request.counter, now, proved=proved)
        incoming = Incoming(self.respond, session, address, request, proved=proved)
        try:
            self._serve(incoming)
        except RemoteError as error:
            self._counters.refuse(error)
            incoming.answer([], code_of(error))

    def _take_response(
        self, session: PeerSession, address: Address, response: Response, size: int
    ) -> None:
        pending = self._pending.get(response.transaction)
        if pending is None or not pending.is_to(session.contact, address):
            raise UnexpectedReply("a reply that matches no request")
        del self._pending[response.transaction]
        session.earned(size)
        session.proved_to_be_at(address)
        rtt_s = (now := self._loop.time()) - pending.sent_at
        if pending.method not in ANSWERED_LATER:
            self._own_network.took(pending.contact, rtt_s)
            if rtt_s <= self.line.longest_s:
                # A contact that answers after every time limit must not lengthen its own.
                session.measured(rtt_s)
                self._shared_rtt.measured(rtt_s)
        self.heard_at = now
        self.unanswered.answered()
        mapped_at = session.answered(pending.sent_at)
        self._own_network.saw(pending.contact, response.observed, pending.sent_at, mapped_at)
        if pending.method in TELL_THE_TIME and response.code == Code.OK:
            self._hear_time(pending, response)
        if response.token:
            session.learn_token(response.token, pending.contact, now)
        pending.on_reply(Reply(pending.contact, response, None))

    def _hear_time(self, pending: Pending, response: Response) -> None:
        try:
            seconds = decode_pong(response.result).seconds
        except RemoteError as error:
            self._counters.refuse(error)  # it answers all the same
        else:
            self._own_clock.told(pending.contact, seconds, pending.sent_at)

    def _receive_cookie(self, datagram: bytes, address: Address) -> None:
        """Repeat a request with the cookie that a contact under load asks for in its nonce."""
        nonce, cookie = datagrams.read_cookie(datagram)
        transaction = nonce[limits.COOKIE_BYTES :]
        pending = self._pending.get(transaction)
        if pending is None or pending.nonce != nonce or pending.address != address:
            raise UnexpectedReply("a cookie that belongs to no request")
        session = self._sessions.get(pending.contact.number)
        if session is None:
            return
        # No nonce fits what is sent now, so a second cookie for the same request finds nothing.
        again = pending._replace(sent_at=self._loop.time(), nonce=b"")
        self._pending[transaction] = again
        self._send_sealed(session, address, cookie + transaction, pending.body)

    def respond(self, incoming: Incoming, code: Code, result: list[Any]) -> None:
        """Send the response to a request to the address that it came from."""
        session, address = incoming.session, incoming.address
        token = self._tokens.make(session, address, self._loop.time())
        body = encode_response(
            incoming.request.transaction, code, token=token, observed=address, result=result
        )
        if len(body) > incoming.room_bytes:
            # The sender must first prove, by this token, that it receives at the address.
            body = encode_response(
                incoming.request.transaction,
                Code.BAD_TOKEN,
                token=token,
                observed=address,
                result=[],
            )
        self._send_sealed(session, address, self._rng.randbytes(XCHACHA_NONCE_BYTES), body)

    # Asking -------------------------------------------------------------------------------

    def request(
        self,
        contact: Contact,
        method: Method,
        arguments: list[Any],
        on_reply: Callable[[Reply], None],
        *,
        timeout_s: float = limits.LATE_REPLY_S,
        answer_bytes: int | None = None,
    ) -> bytes:
        """Send a request, and return its transaction; `on_reply` is called once, never before that.

        `answer_bytes` where an address without proof need not send the longest answer.

        Errors come in the reply as well: TimedOut, Overloaded, and BadPuzzle, BadKey, Malformed for
        an unusable contact.
        """
        try:
            address = contact.address
            if len(self._pending) >= limits.REQUESTS_OUTSTANDING:
                raise Overloaded("too many requests of ours are waiting for an answer")
            session = self._sessions.get(contact.number)
            if session is None:
                if not contact.is_valid(self._puzzle_bits):
                    raise BadPuzzle("a contact whose key does not solve the identity puzzle")
                session = self._new_session(contact)
                self._sessions.add(session)
        except ModswarmError as error:
            self._loop.call_soon(on_reply, Reply(contact, None, error))
            return b""
        now = self._loop.time()
        nonce = self._rng.randbytes(XCHACHA_NONCE_BYTES)
        transaction = nonce[limits.COOKIE_BYTES :]
        self._counter += 1
        body = encode_request(
            transaction,
            method,
            epoch=self._epoch,
            counter=self._counter,
            token=session.token_for(contact, now, self._own_network.seen_here_since(contact)),
            flags=self._own_network.flags(contact),
            arguments=arguments,
            answer_bytes=answer_bytes,
        )
        self._pending[transaction] = Pending(contact, address, now, on_reply, nonce, body, method)
        self._deadlines.set(transaction, now + timeout_s)
        session.asked(now)
        self.unanswered.asked(address, now)
        self._prompt()
        self._send_sealed(session, address, nonce, body)
        return transaction

    def give_up(self, transaction: bytes) -> None:
        """Wait for the reply to a request no longer, if it is waited for; `on_reply` is not called.

        It takes none of REQUESTS_OUTSTANDING any more.
        """
        self._pending.pop(transaction, None)

    def _expire(self, transaction: bytes) -> None:
        pending = self._pending.pop(transaction)
        pending.on_reply(Reply(pending.contact, None, TimedOut("no answer")))

    async def ask(
        self,
        contact: Contact,
        method: Method,
        arguments: list[Any],
        *,
        timeout_s: float | None = None,
        tries: int = 2,
    ) -> Response:
        """The response to a request, which is repeated on silence or with a fresh token.

        Raises TimedOut, BadToken, Overloaded; for an unusable contact BadPuzzle, BadKey, Malformed.
        """
        error: ModswarmError | None = None
        renewed = False
        while tries > 0:
            answered: asyncio.Future[Reply] = self._loop.create_future()
            wait_s = timeout_s or 2 * self.timeout_s(contact)
            self.request(contact, method, arguments, resolving(answered), timeout_s=wait_s)
            reply = await answered
            if reply.response is not None and reply.response.code != Code.BAD_TOKEN:
                return reply.response
            if reply.response is not None and not renewed:
                renewed = True  # the refusal brought a fresh token, so this try does not count
                continue
            tries -= 1
            error = reply.error or BadToken("the contact does not take our proof of address")
        raise error or TimedOut("no answer")

    @property
    def pending_count(self) -> int:
        """Requests of ours without a response yet."""
        return len(self._pending)

    @property
    def session_count(self) -> int:
        """Peers whose keys and counters are remembered."""
        return len(self._sessions)

    @property
    def rate_limited_hosts(self) -> int:
        """Source addresses whose rate is remembered, with or without proof: of these the more."""
        return max(len(self._host_rate_limit), len(self._unproved_rate_limit))

    def session_with(self, contact: Contact) -> PeerSession | None:
        """The session with a peer, if its keys are remembered."""
        return self._sessions.get(contact.number)

    def has_answered(self, contact: Contact) -> bool:
        """Whether a contact has answered us lately at its address, as far as is remembered."""
        session = self._sessions.get(contact.number)
        return session is not None and bool(session.token_for(contact, self._loop.time()))

    def timeout_s(self, contact: Contact) -> float:
        """SRTT + 4 RTTVAR of this contact in seconds; of all contacts where it has no sample."""
        session = self._sessions.get(contact.number)
        if session is not None and session.smoothed_s is not None:
            return session.timeout_s(self.line.extra_s)
        return self._shared_rtt.timeout_s(self.line.extra_s)

    def round_trip_s(self, number: int) -> float | None:
        """The smoothed RTT in seconds of a contact by its number, or None without a sample."""
        return session.smoothed_s if (session := self._sessions.get(number)) else None

    def _send_sealed(
        self, session: PeerSession, address: Address, nonce: bytes, body: bytes
    ) -> None:
        datagram = datagrams.seal(
            self._cipher, self._identity.public_key, session.outgoing_key, nonce, body
        )
        self._send(datagram, address)


def _not_serving(_incoming: Incoming) -> None:
    raise RuntimeError("no handler takes requests yet")
