"""Identities whose ids were ground near one key: nearer than every honest node's.

They cost the identity puzzle once for each id that is tried: in a network of N nodes about N ids
for each that is kept. They answer pings, so they stand in the tables of the nodes near the key;
what else they answer is their `Behaviour`.
"""

import asyncio
from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Any

from nacl.bindings import crypto_sign_seed_keypair

from protocol import limits, records
from protocol.identity import Identity, peer_id_of
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Request, encode_found
from protocol.randomness import Random
from protocol.records import ProviderBody
from simulations.attacks.attackers import Collusion
from simulations.attacks.raw_peer import RawPeer, Responder, pong
from simulations.internet.host import Host
from simulations.residents.world import PORT, World

_FOUND_BYTES = 900
_SPACING_S = 0.005


class Behaviour(Enum):
    """What ground identities answer to lookups of the key, and to stores under it."""

    SILENT = "silent"
    REFUSING = "refusing"
    EMPTY = "empty"
    MISLEADING = "misleading"
    DENYING = "denying"
    CROWDING = "crowding"


class GroundIds:
    """Identities nearer to `key` than all residents of a world, which act alike."""

    def __init__(self, world: World, key: bytes, behaviour: Behaviour, mod_id: bytes) -> None:
        self._world = world
        self._mod_id = mod_id
        self._collusion = Collusion()
        self.honest = Collusion()
        for resident in world.running():
            self.honest.admit(resident.contact)
        self.key = key
        self.tried = 0
        self.peers: list[RawPeer] = []
        self._fakes: list[bytes] = []
        self._answers = self._answers_of(behaviour)

    def _answers_of(self, behaviour: Behaviour) -> dict[Method, Responder]:
        refused: tuple[Code, list[Any]] = (Code.REFUSED, [])
        finds: dict[Behaviour, Responder | None] = {
            Behaviour.SILENT: None,
            Behaviour.REFUSING: lambda _: refused,
            Behaviour.EMPTY: lambda _: _found([], []),
            Behaviour.MISLEADING: partial(self._name, self._collusion),
            Behaviour.DENYING: partial(self._name, self.honest),
            Behaviour.CROWDING: self._crowd,
        }
        stores: dict[Behaviour, Responder | None] = {
            Behaviour.SILENT: None,
            Behaviour.REFUSING: lambda _: refused,
        }
        answers: dict[Method, Responder] = {
            Method.PING: pong,
            Method.MEET: pong,
        }
        if (find := finds[behaviour]) is not None:
            answers[Method.FIND_NODE] = answers[Method.FIND_VALUE] = find
        if (store := stores.get(behaviour, lambda _: [])) is not None:
            answers[Method.STORE] = store
        return answers

    def _name(self, named: Collusion, request: Request) -> list[Any]:
        """What names these nodes alone, and no record; the first argument is the target."""
        return _found(named.nearest(request.arguments[0]), [])

    def _crowd(self, request: Request) -> list[Any]:
        """Records of the attacker's own as well, and word of as many as a node may keep."""
        if request.method != Method.FIND_VALUE:
            return self._name(self._collusion, request)
        nearest = self._collusion.nearest(request.arguments[0])
        return _found(nearest, self._fakes, skip=request.arguments[2])

    def grind(self, count: int, rng: Random) -> list[Identity]:
        """So many identities nearer to the key than any resident; `tried` counts all ids."""
        number = int.from_bytes(self.key)
        ids = (int.from_bytes(one.identity.peer_id) for one in self._world.running())
        nearest = min(one ^ number for one in ids)
        found: list[Identity] = []
        while len(found) < count:
            self.tried += 1
            seed = rng.randbytes(32)
            peer_id = peer_id_of(crypto_sign_seed_keypair(seed)[0])
            if int.from_bytes(peer_id) ^ number < nearest:
                found.append(Identity(seed))
        return found

    async def move_in(self, identities: Sequence[Identity], hosts: Sequence[Host]) -> None:
        """Listen, one identity after another at the next host, and be met by all residents."""
        now = self._world.loop.wall_time()
        for number, identity in enumerate(identities):
            peer = RawPeer(identity, self._answers)
            turn, place = divmod(number, len(hosts))
            host = hosts[place]
            where = host.addresses[turn % len(host.addresses)]
            await peer.listen(host, PORT + turn, where)
            self._collusion.admit(peer.contact)
            self.peers.append(peer)
            body = ProviderBody(self._mod_id, complete=True)
            fake = records.make(identity, records.PROVIDER, body, now=now, sequence=1)
            self._fakes.append(fake.raw)
        await self.meet_all()

    async def meet_all(self) -> None:
        """Ask every resident to verify every identity."""
        for peer in self.peers:
            for resident in self._world.running():
                peer.send(Method.MEET, [], resident.contact)
            await asyncio.sleep(_SPACING_S)
        await asyncio.sleep(2 * limits.FRESH_S)


def _found(nearest: list[Contact], values: list[bytes], skip: int = 0) -> list[Any]:
    return encode_found(nearest, values, skip=skip, registration_proof=b"", max_bytes=_FOUND_BYTES)
