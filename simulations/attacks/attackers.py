"""Attackers: residents that are the real node except for what they answer, or when.

Turncoats keep to the protocol until they turn, then mislead every lookup. They act together, which
is the worst case: whoever asks one of them is sent to the conspirators nearest to the target, and
to nobody else. Dawdlers answer truthfully and too late.
"""

import contextlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from typing import Any

from nacl.bindings import crypto_sign_seed_keypair

from node.overlay.membership import Membership
from node.overlay.rpc.incoming import Incoming
from protocol import limits
from protocol.addresses import Address
from protocol.codec import shape, sized
from protocol.errors import RemoteError
from protocol.identity import Identity, peer_id_of
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, encode_found
from simulations.residents.world import Resident, World

_TARGETS_REMEMBERED = 4096

NOWHERE = Address("198.51.100.1", 4001)
"""An address for documentation (RFC 5737): no host has it."""

DAWDLE_S = 4.9
"""Just before the time after which no reply is used any more."""


class Conspiracy:
    """Residents that have turned, and know each other.

    With `hidden`, contacts of honest nodes, it also tries to hide these: half of each answer are
    the nearest of them, at an address where nobody is. All say the same, as their word counts most
    so.
    """

    def __init__(self, hidden: Sequence[Contact] = ()) -> None:
        self._members: dict[bytes, Contact] = {}
        self._nearest: dict[bytes, list[Contact]] = {}
        self._misplaced = {
            contact.peer_id: Contact.at(contact.public_key, NOWHERE) for contact in hidden
        }

    def __len__(self) -> int:
        return len(self._members)

    def admit(self, contact: Contact) -> None:
        """Take in one more."""
        self._members[contact.peer_id] = contact
        self._misplaced.pop(contact.peer_id, None)
        self._nearest.clear()

    def nearest(self, target: bytes) -> list[Contact]:
        """Whom to name to those who look for `target`, one more than a reply may name."""
        known = self._nearest.get(target)
        if known is None:
            if len(self._nearest) >= _TARGETS_REMEMBERED:
                self._nearest.clear()
            number = int.from_bytes(target)
            count = limits.CONTACTS_PER_REPLY + 1
            hidden = _nearest_of(self._misplaced.values(), number, count // 2)
            members = _nearest_of(self._members.values(), number, count - len(hidden))
            known = self._nearest[target] = hidden + members
        return known


def _nearest_of(contacts: Iterable[Contact], target: int, count: int) -> list[Contact]:
    return nsmallest(count, contacts, key=lambda contact: contact.number ^ target)


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
        server = membership.server
        server.wire.serve(partial(self._answer, honestly=server.protocol.accept))
        return membership

    def _answer(self, incoming: Incoming, *, honestly: Callable[[Incoming], None]) -> None:
        lie = _LIES.get(incoming.request.method)
        if self.conspiracy is None or lie is None:
            honestly(incoming)
        else:
            incoming.answer(lie(self.conspiracy, incoming))


def crowd(world: World, target: bytes, count: int, rng: random.Random) -> list[Turncoat]:
    """Turncoats nearer to `target` than any resident that runs, not started yet.

    Their keys are searched for as an adversary would, but for the puzzle, which only costs time.
    """
    number = int.from_bytes(target)
    distances = (int.from_bytes(one.identity.peer_id) ^ number for one in world.running())
    nearest = min(distances)
    members: list[Turncoat] = []
    while len(members) < count:
        seed = rng.randbytes(32)
        peer_id = peer_id_of(crypto_sign_seed_keypair(seed)[0])
        if int.from_bytes(peer_id) ^ number < nearest:
            member = world.add(Turncoat)
            assert isinstance(member, Turncoat)
            member.identity = Identity(seed)
            members.append(member)
    return members


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


def _forget_path(_conspiracy: Conspiracy, _incoming: Incoming) -> list[Any]:
    """What REGISTER gets: the promise of a path that nobody will use."""
    return [int(limits.REGISTRATION_S)]


def _feign_path(_conspiracy: Conspiracy, _incoming: Incoming) -> list[Any]:
    """What KEEPALIVE gets."""
    return [True]


def _found(conspiracy: Conspiracy, incoming: Incoming, target: bytes) -> list[Any]:
    asker = incoming.session.peer_id
    nearest = conspiracy.nearest(sized(target, limits.ID_BYTES))
    named = [contact for contact in nearest if contact.peer_id != asker]
    return encode_found(named, [], skip=0, registration_proof=b"", max_bytes=incoming.room_bytes)


_LIES: dict[int, Callable[[Conspiracy, Incoming], list[Any]]] = {
    Method.FIND_NODE: _name_conspirators,
    Method.FIND_VALUE: _hide_records,
    Method.STORE: _forget_record,
    Method.REGISTER: _forget_path,
    Method.KEEPALIVE: _feign_path,
}


@dataclass(slots=True)
class Dawdler(Resident):
    """Answers truthfully, but so late that nobody may wait for it (slow loris).

    `dawdles` from the start, or once it is set.
    """

    dawdles: bool = True

    def make_membership(self) -> Membership:
        """The honest node's rooms, with a pause before its answers."""
        membership = Resident.make_membership(self)
        server = membership.server
        server.wire.serve(partial(self._answer, promptly=server.protocol.accept))
        return membership

    def _answer(self, incoming: Incoming, *, promptly: Callable[[Incoming], None]) -> None:
        if self.dawdles:
            self.world.loop.call_later(DAWDLE_S, self._answer_late, incoming, promptly)
        else:
            promptly(incoming)

    def _answer_late(self, incoming: Incoming, promptly: Callable[[Incoming], None]) -> None:
        if self.membership is None:
            return
        with contextlib.suppress(RemoteError):
            promptly(incoming)
