"""Attackers: residents that are the real node except for what they answer, or when.

Colluding nodes are honest until they collude, then mislead every lookup. They act together, which
is the worst case: each of them answers with the colluding nodes nearest to the target, and with no
other contacts. Delaying nodes answer truthfully and too late.
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

DEAD_ADDRESS = Address("198.51.100.1", 4001)
"""An address for documentation (RFC 5737): no host has it."""

DELAY_S = 4.9
"""Just before the time after which no reply is used any more."""


class Collusion:
    """The colluding nodes of a world.

    With `hidden`, contacts of honest nodes, they also try to hide these: half of each answer are
    the nearest of them, at an address that no host has. All give the same answer, which then counts
    most.
    """

    def __init__(self, hidden: Sequence[Contact] = ()) -> None:
        self._members: dict[bytes, Contact] = {}
        self._nearest: dict[bytes, list[Contact]] = {}
        self._misplaced = {
            contact.peer_id: Contact.at(contact.public_key, DEAD_ADDRESS) for contact in hidden
        }

    def __len__(self) -> int:
        return len(self._members)

    def admit(self, contact: Contact) -> None:
        """Add one node."""
        self._members[contact.peer_id] = contact
        self._misplaced.pop(contact.peer_id, None)
        self._nearest.clear()

    def nearest(self, target: bytes) -> list[Contact]:
        """The contacts that a lookup of `target` is given, one more than a reply may name."""
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
class ColludingNode(Resident):
    """Honest until `collude`. Afterwards it names colluding nodes only, and keeps no records."""

    collusion: Collusion | None = None

    def collude(self, collusion: Collusion) -> None:
        """Answer falsely from now on."""
        collusion.admit(self.contact)
        self.collusion = collusion

    def make_membership(self) -> Membership:
        """The honest node's rooms, with a filter before its requests."""
        membership = Resident.make_membership(self)
        server = membership.server
        server.wire.serve(partial(self._answer, honest=server.protocol.accept))
        return membership

    def _answer(self, incoming: Incoming, *, honest: Callable[[Incoming], None]) -> None:
        false_answer = _FALSE_ANSWERS.get(incoming.request.method)
        if self.collusion is None or false_answer is None:
            honest(incoming)
        else:
            incoming.answer(false_answer(self.collusion, incoming))


def sybils_near(world: World, target: bytes, count: int, rng: random.Random) -> list[ColludingNode]:
    """Colluding nodes nearer to `target` than any resident that runs, not started yet.

    Their keys are searched for as an adversary would, but for the puzzle, which only costs time.
    """
    number = int.from_bytes(target)
    distances = (int.from_bytes(one.identity.peer_id) ^ number for one in world.running())
    nearest = min(distances)
    members: list[ColludingNode] = []
    while len(members) < count:
        seed = rng.randbytes(32)
        peer_id = peer_id_of(crypto_sign_seed_keypair(seed)[0])
        if int.from_bytes(peer_id) ^ number < nearest:
            member = world.add(ColludingNode)
            assert isinstance(member, ColludingNode)
            member.identity = Identity(seed)
            members.append(member)
    return members


def _name_colluding_nodes(collusion: Collusion, incoming: Incoming) -> list[Any]:
    """What FIND_NODE [target, families] gets."""
    target, _ = shape(incoming.request.arguments, bytes, int)
    return _found(collusion, incoming, target)


def _hide_records(collusion: Collusion, incoming: Incoming) -> list[Any]:
    """What FIND_VALUE [key, kind, skip, families] gets."""
    key, *_ = shape(incoming.request.arguments, bytes, int, int, int)
    return _found(collusion, incoming, key)


def _forget_record(_collusion: Collusion, _incoming: Incoming) -> list[Any]:
    """What STORE gets: the confirmation of a store that never took place."""
    return []


def _forget_registration(_collusion: Collusion, _incoming: Incoming) -> list[Any]:
    """What REGISTER gets: a promise to keep the NAT mapping open, which is not kept."""
    return [int(limits.REGISTRATION_S)]


def _feign_keepalive(_collusion: Collusion, _incoming: Incoming) -> list[Any]:
    """What KEEPALIVE gets."""
    return [True]


def _found(collusion: Collusion, incoming: Incoming, target: bytes) -> list[Any]:
    asker = incoming.session.peer_id
    nearest = collusion.nearest(sized(target, limits.ID_BYTES))
    named = [contact for contact in nearest if contact.peer_id != asker]
    return encode_found(named, [], skip=0, registration_proof=b"", max_bytes=incoming.room_bytes)


_FALSE_ANSWERS: dict[int, Callable[[Collusion, Incoming], list[Any]]] = {
    Method.FIND_NODE: _name_colluding_nodes,
    Method.FIND_VALUE: _hide_records,
    Method.STORE: _forget_record,
    Method.REGISTER: _forget_registration,
    Method.KEEPALIVE: _feign_keepalive,
}


@dataclass(slots=True)
class DelayingNode(Resident):
    """Answers truthfully, but so late that no lookup may wait for it (slow loris).

    It does so while `delays` is set.
    """

    delays: bool = True

    def make_membership(self) -> Membership:
        """The honest node's rooms, with a pause before its answers."""
        membership = Resident.make_membership(self)
        server = membership.server
        server.wire.serve(partial(self._answer, prompt=server.protocol.accept))
        return membership

    def _answer(self, incoming: Incoming, *, prompt: Callable[[Incoming], None]) -> None:
        if self.delays:
            self.world.loop.call_later(DELAY_S, self._answer_late, incoming, prompt)
        else:
            prompt(incoming)

    def _answer_late(self, incoming: Incoming, prompt: Callable[[Incoming], None]) -> None:
        if self.membership is None:
            return
        with contextlib.suppress(RemoteError):
            prompt(incoming)
