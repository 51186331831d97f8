"""Contacts that end in order say so, and this node does: each is told by one LEAVE.

A LEAVE is believed of its sender alone, at the address that it has proved there. What it changes is
small enough that a liar gains nothing: it leaves the tables itself.
"""

import asyncio
from collections.abc import Callable, Iterable

from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.table.table_maintenance import TableMaintenance
from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method

OnLeft = Callable[[Contact], None]


class Leaving:
    """Takes the LEAVEs of others, for all parts that `watch`, and sends those of this node."""

    def __init__(self, wire: Wire, maintenance: TableMaintenance) -> None:
        self._wire = wire
        self._maintenance = maintenance
        self._watchers: list[OnLeft] = [maintenance.left]
        self._told = False

    def watch(self, on_left: OnLeft) -> None:
        """Have each contact that leaves told to `on_left`."""
        self._watchers.append(on_left)

    def left(self, incoming: Incoming) -> None:
        """A peer leaves. Its address is proved."""
        incoming.session.forget_token()
        contact = incoming.session.contact_at(incoming.address)
        for on_left in self._watchers:
            on_left(contact)

    async def tell(self, contacts: Iterable[Contact]) -> None:
        """Say once that this node leaves, and answer no request from now on.

        What is to be told is sent before this waits, LEAVE_S at most: for contacts that want a
        fresh proof of the address, and get it once.
        """
        if self._told:
            return
        self._told = True
        self._wire.serve(_answer_none)
        loop = asyncio.get_running_loop()
        waiting = {
            loop.create_future(): contact
            for contact in list(dict.fromkeys(contacts))[: limits.LEAVES_TOLD]
        }
        for taken, contact in waiting.items():
            self._send(contact, taken, renewed=False)
        if waiting:
            await asyncio.wait(waiting, timeout=limits.LEAVE_S)

    def _send(self, contact: Contact, taken: asyncio.Future[None], *, renewed: bool) -> None:
        def on_reply(reply: Reply) -> None:
            stale = reply.response is not None and reply.response.code == Code.BAD_TOKEN
            if stale and not renewed:
                self._send(contact, taken, renewed=True)
            elif not taken.done():
                taken.set_result(None)

        self._wire.request(contact, Method.LEAVE, [], on_reply, timeout_s=limits.LEAVE_S)


def _answer_none(_incoming: Incoming) -> None:
    """Who pings a node that leaves is to find it gone."""
