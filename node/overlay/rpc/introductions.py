"""Requests to contacts that others named: liars name addresses of third parties.

What an address that has not answered us is sent counts as sent on the account of those who name it,
and of these together no more than the bytes of their own answers. A contact that answers pays back
what it was sent. Where its namers cannot pay for the padded request, a FIND_NODE has less padding,
so its answer names fewer contacts; or else a PING asks for a token first: then the request needs no
padding. Where they cannot pay for that either, the contact waits.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.table.tables import Tables
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import ANSWER_BYTES, FEW_CONTACTS_BYTES, Method, first_request_bytes
from protocol.overlay.sessions import PeerSession

OnReply = Callable[[Reply], None]
OnSent = Callable[[Contact], None]


class _Asked(NamedTuple):
    contact: Contact
    method: Method
    arguments: list[Any]
    on_reply: OnReply
    on_sent: OnSent


class Introductions:
    """Who named which contact in one operation, such as a lookup, and what that allows to send."""

    def __init__(self, wire: Wire, tables: Tables) -> None:
        self._wire = wire
        self._tables = tables
        self._namers: dict[bytes, list[PeerSession]] = {}
        self._spent: dict[bytes, list[tuple[PeerSession, int]]] = {}
        self._waiting: dict[bytes, _Asked] = {}

    def hear(self, namer: Contact, named: Iterable[Contact]) -> None:
        """An answer names contacts; those that waited for it are asked."""
        session = self._wire.session_with(namer)
        for contact in named:
            namers = self._namers.setdefault(contact.packed, [])
            if session is not None and session not in namers:
                namers.append(session)
        self._ask_waiting()

    def pays(self, contact: Contact, method: Method, answer_bytes: int | None = None) -> bool:
        """Whether a first request may go to a contact; if so it is counted until it answers.

        One that no contact named is our own choice, and one in our tables has answered us.
        `answer_bytes` as in `Wire.request`.
        """
        namers = self._namers.get(contact.packed)
        if namers is None or self._has_proved(contact):
            return True
        needed = first_request_bytes(answer_bytes or ANSWER_BYTES[method])
        if sum(namer.introducing_bytes for namer in namers) < needed:
            return False
        spent = self._spent.setdefault(contact.packed, [])
        for namer in sorted(namers, key=_left_bytes, reverse=True):
            part = min(namer.introducing_bytes, needed)
            namer.spent(part)
            spent.append((namer, part))
            needed -= part
        return True

    def answered(self, contact: Contact) -> None:
        """A contact has answered at its address: what it was sent counts no longer."""
        for namer, part in self._spent.pop(contact.packed, ()):
            namer.earned(part)
        self._namers.pop(contact.packed, None)
        self._ask_waiting()

    def request(
        self,
        contact: Contact,
        method: Method,
        arguments: list[Any],
        on_reply: OnReply,
        on_sent: OnSent,
    ) -> None:
        """As `Wire.request`, at once or once it is paid for: then `on_sent` is called."""
        asked = _Asked(contact, method, arguments, on_reply, on_sent)
        if self.pays(contact, method):
            self._send(asked)
        elif method is Method.FIND_NODE and self.pays(contact, method, FEW_CONTACTS_BYTES):
            self._send(asked, FEW_CONTACTS_BYTES)
        elif self.pays(contact, Method.PING):
            self._ping(asked)
        else:
            self._waiting[contact.packed] = asked

    def forget(self, contact: Contact) -> None:
        """A contact need not be asked any more."""
        self._waiting.pop(contact.packed, None)

    def _ping(self, asked: _Asked) -> None:
        self._wire.request(asked.contact, Method.PING, [], partial(self._shown, asked))

    def _shown(self, asked: _Asked, reply: Reply) -> None:
        """The PING of a contact has ended."""
        if reply.response is None:
            asked.on_reply(reply)
            return
        asked.on_sent(asked.contact)
        self._send(asked)
        self.answered(asked.contact)

    def _send(self, asked: _Asked, answer_bytes: int | None = None) -> None:
        ended = partial(self._ended, asked.on_reply)
        self._wire.request(
            asked.contact, asked.method, asked.arguments, ended, answer_bytes=answer_bytes
        )

    def _ended(self, on_reply: OnReply, reply: Reply) -> None:
        if reply.response is not None:
            self.answered(reply.contact)
        on_reply(reply)

    def _ask_waiting(self) -> None:
        for packed, asked in list(self._waiting.items()):
            if self.pays(asked.contact, Method.PING):
                del self._waiting[packed]
                asked.on_sent(asked.contact)
                self._ping(asked)

    def _has_proved(self, contact: Contact) -> bool:
        if self._wire.has_answered(contact):
            return True
        entry = self._tables.of(contact).get(contact.peer_id)
        return entry is not None and entry.contact.packed == contact.packed


def _left_bytes(namer: PeerSession) -> int:
    return namer.introducing_bytes
