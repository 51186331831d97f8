"""Attackers: residents that keep to the protocol until they turn, then mislead every lookup.

They are the real node except for what they answer. They act together, which is the worst case:
whoever asks one of them is sent to the conspirators nearest to the target, and to nobody else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from typing import Any

from node.membership import Membership
from node.overlay.wire import Incoming
from protocol import limits
from protocol.codec import shape, sized
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, encode_found
from simulations.world import Resident

_TARGETS_REMEMBERED = 4096


class Conspiracy:
    """Residents that have turned, and know each other."""

    def __init__(self) -> None:
        self._members: dict[bytes, Contact] = {}
        self._nearest: dict[bytes, list[Contact]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def admit(self, contact: Contact) -> None:
        """Take in one more."""
        self._members[contact.peer_id] = contact
        self._nearest.clear()

    def nearest(self, target: bytes) -> list[Contact]:
        """The members nearest to `target`, one more than a reply may name, nearest first."""
        known = self._nearest.get(target)
        if known is None:
            if len(self._nearest) >= _TARGETS_REMEMBERED:
                self._nearest.clear()
            number = int.from_bytes(target)
            known = self._nearest[target] = nsmallest(
                limits.CONTACTS_PER_REPLY + 1,
                self._members.values(),
                key=lambda contact: contact.number ^ number,
            )
        return known


@dataclass(slots=True)
class Turncoat(Resident):
    """Honest until `turn`. Afterwards it names conspirators only, and keeps no records."""

    conspiracy: Conspiracy | None = None

    def turn(self, conspiracy: Conspiracy) -> None:
        """Join the conspiracy, for good."""
        conspiracy.admit(self.contact)
        self.conspiracy = conspiracy

    def make_membership(self) -> Membership:
        """The honest node's rooms, with a filter before its requests."""
        membership = Resident.make_membership(self)
        wire = membership.server.wire
        wire._on_request = partial(self._answer, honestly=wire._on_request)
        return membership

    def _answer(self, incoming: Incoming, *, honestly: Callable[[Incoming], None]) -> None:
        lie = _LIES.get(incoming.request.method)
        if self.conspiracy is None or lie is None:
            honestly(incoming)
        else:
            incoming.answer(lie(self.conspiracy, incoming))


def _name_conspirators(conspiracy: Conspiracy, incoming: Incoming) -> list[Any]:
    """What FIND_NODE [target, families] gets."""
    target, _ = shape(incoming.request.arguments, bytes, int)
    return _found(conspiracy, incoming, target)


def _hide_records(conspiracy: Conspiracy, incoming: Incoming) -> list[Any]:
    """What FIND_VALUE [key, kind, skip, families] gets."""
    key, *_ = shape(incoming.request.arguments, bytes, int, int, int)
    return _found(conspiracy, incoming, key)


def _forget_record(_conspiracy: Conspiracy, _incoming: Incoming) -> list[Any]:
    """What STORE gets: the confirmation of a store that never took place."""
    return []


def _found(conspiracy: Conspiracy, incoming: Incoming, target: bytes) -> list[Any]:
    asker = incoming.session.peer_id
    nearest = conspiracy.nearest(sized(target, limits.ID_BYTES))
    named = [contact for contact in nearest if contact.peer_id != asker]
    return encode_found(named, [], skip=0, registered=False, max_bytes=incoming.room_bytes)


_LIES: dict[int, Callable[[Conspiracy, Incoming], list[Any]]] = {
    Method.FIND_NODE: _name_conspirators,
    Method.FIND_VALUE: _hide_records,
    Method.STORE: _forget_record,
}
