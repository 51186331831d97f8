"""Witnesses of where a peer is, before many datagrams go there: see `protocol.punching.token`."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Sequence

from node.environment import Environment
from node.overlay.rpc.pending import Reply
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.codec import shape
from protocol.errors import ModswarmError, RemoteError, WrongKey
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.overlay.networks import smallest_network
from protocol.punching.token import decode_hosts, seen_by_enough

_log = logging.getLogger(__name__)

_AMONG = 16
"""WITNESSES of so many contacts are chosen, the nearest by round trip: a search waits for them."""

_LATELY_S = 60.0
"""A witness that has answered within this is hardly gone: two that are silent end a search."""

_ASKED_AGAIN_S = 0.1
_ASKED_AGAIN_S_MAX = 1.0
_ASKED_LESS_OFTEN = 0.1
"""The peer's token may be on its way to a witness that is asked, or may come when the peer is free:
the pause is a tenth of what was waited for already, and no longer than a peer that has its turn, or
open sockets, can wait for us."""


class Witnesses:
    """Chooses this node's witnesses, leaves tokens with a peer's, and asks its own."""

    def __init__(self, server: OverlayServer, environment: Environment) -> None:
        self._server = server
        self._rng = environment.rng
        # When each that has answered nothing was asked, the oldest first.
        self._silent: OrderedDict[bytes, float] = OrderedDict()

    def choose(self) -> tuple[Contact, ...]:
        """Contacts of different networks, by chance; fewer than WITNESSES where too few are met.

        Those that answered lately come first. They speak IPv4, as the routers do that many probes
        are for.
        """
        wire = self._server.wire
        lately = asyncio.get_running_loop().time() - _LATELY_S
        met = [
            (entry.answered_at < lately or entry.failures > 0, round_trip_s, entry.contact)
            for entry in self._server.tables.entries()
            if entry.contact.family == 4
            and (round_trip_s := wire.round_trip_s(entry.contact.number)) is not None
        ]
        met.sort(key=lambda one: (one[1], one[2].number))
        chosen: dict[bytes, Contact] = {}
        for older in (False, True):
            nearest = [contact for is_older, _, contact in met if is_older is older][:_AMONG]
            while nearest and len(chosen) < limits.WITNESSES:
                contact = nearest.pop(self._rng.getrandbits(32) % len(nearest))
                network = smallest_network(self._server.settings.networks_of, contact)
                chosen.setdefault(network or contact.packed, contact)
        return tuple(chosen.values())

    def knows(self, contact: Contact) -> bool:
        """Whether a contact has answered us lately at its address."""
        return self._server.wire.has_answered(contact)

    async def leave(self, token: bytes, witnesses: Sequence[Contact]) -> None:
        """Leave our token with the witnesses that a peer has named; silent ones are passed over."""
        await asyncio.gather(*(self._leave(token, contact) for contact in witnesses))

    async def _leave(self, token: bytes, contact: Contact) -> None:
        try:
            if not contact.is_valid(self._server.settings.puzzle_bits):
                raise WrongKey("a witness whose key is no node's")
            known = self.knows(contact)
            if known or self._is_first(contact):
                tries = 2 if known else 1
                await self._server.wire.ask(contact, Method.WITNESS, [token], tries=tries)
        except (ModswarmError, RemoteError) as error:
            _log.debug("no token left with %r: %s", contact, error)

    def _is_first(self, contact: Contact) -> bool:
        """Whether a contact that has answered nothing was not asked lately: it may be a victim."""
        now = asyncio.get_running_loop().time()
        asked_at = self._silent.get(contact.packed)
        if asked_at is not None and now < asked_at + limits.WITNESS_SILENT_S:
            return False
        self._silent[contact.packed] = now
        self._silent.move_to_end(contact.packed)
        if len(self._silent) > limits.WITNESSES_ASKED:
            self._silent.popitem(last=False)
        return True

    async def hosts_seen(
        self, token: bytes, witnesses: Sequence[Contact], limit_s: float
    ) -> frozenset[str]:
        """The hosts from which enough witnesses of ours got a peer's token; empty after `limit_s`.

        Each is asked again and again without a wait for what it says, as a silent one must not
        delay the others.
        """
        told: dict[Contact, list[str]] = {}
        enough = asyncio.Event()
        loop = asyncio.get_running_loop()
        began_at = loop.time()

        def on_reply(reply: Reply) -> None:
            told[reply.contact] = _hosts_of(reply) or told.get(reply.contact, [])
            if seen_by_enough(told.values()):
                enough.set()

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not enough.is_set():
                    for contact in witnesses:
                        self._server.wire.request(contact, Method.WITNESSED, [token], on_reply)
                    waited_s = loop.time() - began_at
                    rarer_s = min(_ASKED_LESS_OFTEN * waited_s, _ASKED_AGAIN_S_MAX)
                    pause_s = max(_ASKED_AGAIN_S, rarer_s)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(enough.wait(), pause_s)
        return seen_by_enough(told.values())


def _hosts_of(reply: Reply) -> list[str]:
    """What a witness says; nothing if it says nothing that can be used."""
    response = reply.response
    if response is None or response.code != Code.OK:
        return []
    try:
        (hosts,) = shape(response.result, list)
        return decode_hosts(hosts)
    except RemoteError as error:
        _log.debug("no word of the witness %r: %s", reply.contact, error)
        return []
