"""One attempt's part in a search by many probes, from the wait for its turn until it is over.

Both sides may have searches with others, so each waits until it is free, and tells the other by
its token. A relay carries the link meanwhile.

    the side that probes                  the side with the sockets

    wait for the turn
    leave our token        ── witnesses ──>  see it
    see theirs                            wait for the turn, open sockets and mappings
                           <── witnesses ──  leave our token
    probe                  ─────────────>

So no probe leaves before there is a mapping that it may hit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from node.links.punching.call import PunchCall
from node.links.punching.punching import LinkPunching
from protocol import limits
from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.punching.plan import BirthdayPart
from protocol.punching.puncher import Puncher
from protocol.punching.token import punch_token

_log = logging.getLogger(__name__)

_FRESH_S: Final = 2.0
"""A peer whose token we saw so long ago may have given up its turn: it is looked for again."""

_LOOK_S: Final = 1.0

_SEARCH_S: Final = limits.BIRTHDAY_PROBES / limits.BIRTHDAY_RATE + 2.0
"""The probes of one search, and the answer to the last."""


class PortSearch:
    """Begins when it is made. `changed`: the agent has something to send, or its times changed."""

    def __init__(
        self,
        punching: LinkPunching,
        call: PunchCall,
        part: BirthdayPart,
        agent: IceAgent,
        puncher: Puncher,
        changed: Callable[[], None],
    ) -> None:
        self._punching = punching
        self._call = call
        self._agent = agent
        self._puncher = puncher
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._sockets: list[Address] = []
        self._waiting = True
        self._over = asyncio.Event()
        parts = {BirthdayPart.PROBES: self._probe, BirthdayPart.SOCKETS: self._open_and_wait}
        name = f"search for {call.peer_id.hex()[:8]}"
        self.task = punching.tasks.start(self._run(parts[part]), name=name)

    @property
    def has_socket(self) -> bool:
        """Whether a socket of it is open."""
        return bool(self._sockets)

    def end(self, kept: Address | None) -> None:
        """Search no more; of the sockets only the one that is bound to `kept` stays."""
        self._over.set()
        if self._waiting:
            self.task.cancel()
        for local in [one for one in self._sockets if one != kept]:
            self._sockets.remove(local)
            self._agent.remove_local(local, self._loop.time())
            self._punching.endpoint.remove_port(local)

    async def _run(self, part: Callable[[asyncio.Timeout], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(limits.BIRTHDAY_PATIENCE_S) as patience:
                await part(patience)
        except TimeoutError:
            peer = self._call.peer_id.hex()[:8]
            _log.info("no search for %s: the two had no turn at the same time", peer)

    # Both parts -----------------------------------------------------------------------------

    async def _probe(self, patience: asyncio.Timeout) -> None:
        turns = self._punching.turns
        while True:
            async with turns.turn():
                self._leave_token()
                hosts = await self._seen(limits.BIRTHDAY_MEETING_S)
                if hosts:
                    self._begin(patience)
                    self._puncher.seen(hosts, self._loop.time())
                    self._puncher.probe_many(self._loop.time())
                    self._changed()
                    await self._come_to_an_end()
                    return
            _log.info("the sockets of %s are not there yet", self._call.peer_id.hex()[:8])

    async def _open_and_wait(self, patience: asyncio.Timeout) -> None:
        turns, peer = self._punching.turns, self._call.peer_id.hex()[:8]
        meeting = self._punching.witnesses.meet(self._call.peer.witnesses)
        self._punching.tasks.start(meeting, name="meet witnesses")
        while True:
            hosts = await self._seen(limits.BIRTHDAY_PATIENCE_S)
            seen_at = self._loop.time()
            async with turns.turn():
                if self._loop.time() - seen_at > _FRESH_S:
                    hosts = await self._seen(_LOOK_S)
                if hosts:
                    self._puncher.seen(hosts, self._loop.time())
                    self._changed()
                    if self._puncher.search is None:
                        _log.info("%s was seen at an address that it has not named", peer)
                        return
                    self._begin(patience)
                    await self._open()
                    return
            _log.info("%s does not wait for our sockets any more", peer)

    def _begin(self, patience: asyncio.Timeout) -> None:
        """From now on the search has a time limit of its own."""
        patience.reschedule(None)
        self._waiting = False
        self._punching.turns.spend()

    async def _come_to_an_end(self) -> None:
        try:
            async with asyncio.timeout(_SEARCH_S):
                await self._over.wait()
        except TimeoutError:
            _log.info("the search for %s found nothing", self._call.peer_id.hex()[:8])

    # Tokens ---------------------------------------------------------------------------------

    def _leave_token(self) -> None:
        """Let it be on its way; a silent witness delays nothing."""
        token = punch_token(self._call.offer_id, self._call.own_id)
        leaving = self._punching.witnesses.leave(token, self._call.peer.witnesses)
        self._punching.tasks.start(leaving, name="leave a token with witnesses")

    async def _seen(self, limit_s: float) -> frozenset[str]:
        token = punch_token(self._call.offer_id, self._call.peer_id)
        return await self._punching.witnesses.hosts_seen(token, self._call.own.witnesses, limit_s)

    # Sockets --------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Open sockets and their mappings, say so, and wait for the probes."""
        await self._open_sockets()
        if not self._over.is_set():
            self._puncher.sockets_open(self._sockets, self._loop.time())
            self._changed()
            self._leave_token()
            await self._come_to_an_end()
        selected = self._agent.selected
        self.end(selected.base if selected is not None else None)

    async def _open_sockets(self) -> None:
        while len(self._sockets) < limits.BIRTHDAY_SOCKETS and not self._over.is_set():
            try:
                self._sockets.append(await self._punching.endpoint.open_another(4))
            except OSError as error:
                _log.info("a search has only %d sockets: %s", len(self._sockets), error)
                return
