"""Runs one lookup over the wire: the pure machine decides, this asks and listens."""

import asyncio
from collections.abc import Callable
from typing import Any

from node.overlay.rpc.introductions import Introductions
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.protocol import OverlayProtocol
from protocol.errors import Malformed, RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.messages import Code, Found, Method, decode_found

OnFound = Callable[[Contact, Found], None]


class Search:
    """One lookup under way. With `kind` it asks for records, and `on_found` sees each answer.

    `on_found` may call `lookup.stop()`. No task runs for it: replies and timers drive it. The
    contact that is looked up is asked once more after `repeat_s` without its answer: a datagram may
    have been lost, and perhaps no other contact knows what it knows.
    """

    def __init__(
        self,
        protocol: OverlayProtocol,
        lookup: AnyLookup,
        *,
        families: int,
        repeat_s: float,
        introductions: Introductions,
        kind: int | None = None,
        on_found: OnFound | None = None,
    ) -> None:
        self.lookup = lookup
        self._protocol = protocol
        self._maintenance = protocol.maintenance
        self._families = families
        self._repeat_s = repeat_s
        self._introductions = introductions
        self._kind = kind
        self._on_found = on_found
        self._target = lookup.target.to_bytes(20)
        self._given_up: set[bytes] = set()
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._repeats: dict[bytes, asyncio.TimerHandle] = {}
        self._done: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> AnyLookup:
        """Look until the lookup is done, and give it back."""
        self._advance()
        try:
            await self._done
        finally:
            self.lookup.stop()
            for timer in (self._timer, *self._repeats.values()):
                if timer is not None:
                    timer.cancel()
        return self.lookup

    def _advance(self) -> None:
        if self._done.done():
            return
        step = self.lookup.next(self._loop.time())
        for contact in step.ask:
            self._ask(contact)
            if contact.number == self.lookup.target:
                repeat = self._loop.call_later(self._repeat_s, self._ask, contact)
                self._repeats[contact.packed] = repeat
        for contact in step.given_up:
            self._given_up.add(contact.packed)
            self._introductions.forget(contact)
            self._maintenance.given_up(contact, self._began_at)
        if step.done:
            self._done.set_result(None)
        else:
            self._set_timer(step.wake_at)

    def _set_timer(self, at: float) -> None:
        """Wake at `at`, or before: most timers are overtaken by an answer."""
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._advance()

    def _ask(self, contact: Contact) -> None:
        if self._kind is None:
            self._request(contact, Method.FIND_NODE, [self._target, self._families])
        else:
            self._request(contact, Method.FIND_VALUE, [self._target, self._kind, 0, self._families])

    def _request(self, contact: Contact, method: Method, arguments: list[Any]) -> None:
        self._introductions.request(contact, method, arguments, self._replied, self._sent)

    def _sent(self, contact: Contact) -> None:
        """A contact that had to show itself first, or waited, is asked only now."""
        self.lookup.asked(contact, self._loop.time())

    def _replied(self, reply: Reply) -> None:
        """An answer, however late, or nothing for so long that the lookup gave it up itself."""
        contact = reply.contact
        if contact.packed in self._repeats:
            self._repeats[contact.packed].cancel()
        if reply.response is None:
            if isinstance(reply.error, RemoteError):
                self.lookup.failed(contact)
                self._advance()
            return
        if contact.packed not in self._given_up:
            # An answer that comes later is used, but a contact that slow is not a good one.
            self._maintenance.answered(contact)
        if self._done.done():
            return
        try:
            if reply.response.code != Code.OK:
                raise Malformed("a contact that refuses to look")
            found = decode_found(reply.response.result)
        except RemoteError as error:
            self._protocol.refuse(error)
            self.lookup.failed(contact)
        else:
            valid = self._maintenance.valid(found.contacts)
            self._introductions.hear(contact, valid)
            self.lookup.answered(contact, valid)
            if self._on_found is not None:
                self._on_found(contact, found)
        self._advance()
