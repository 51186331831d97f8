"""One attempt's part in a search by many probes, from the wait for its turn until it is over.

Both sides may have searches with others, so each waits until it is free, and tells the other by
its token. A relay carries the link meanwhile.

    the side that probes                  the side with the sockets

                           <── witnesses ──  say that we are ready, and from where
    wait for the turn
    leave our token        ── witnesses ──>  see it
    see theirs                            wait for the turn, open sockets and mappings
                           <── witnesses ──  leave our token
    probe                  ─────────────>

So no probe leaves before there is a mapping that it may hit. Where others wait, a turn goes to a
peer that has proved its address, and is over if its sockets do not come, or if half of the probes
have hit none. A search that found nothing is repeated later, whether the sockets were there or not.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from node.links.punching.call import PunchCall
from node.links.punching.punching import LinkPunching
from protocol import limits
from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.overlay.contacts import Contact
from protocol.places.tenure import network_of
from protocol.places.turns import TurnWanted
from protocol.punching.plan import BirthdayPart
from protocol.punching.puncher import Puncher
from protocol.punching.token import punch_token, ready_token

_log = logging.getLogger(__name__)

_FRESH_S: Final = 2.0
"""A peer whose token we saw so long ago may have given up its turn: it is looked for again."""

_LOOK_S: Final = 1.0

_ANSWER_S: Final = 2.0
_PROBES_S: Final = limits.BIRTHDAY_PROBES / limits.BIRTHDAY_RATE
_ENOUGH_S: Final = limits.BIRTHDAY_PROBES_ENOUGH / limits.BIRTHDAY_RATE
"""The probes of one search, those that are enough where others wait, and the answer to the last."""


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
        self._strange_at: float | None = None
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
        self._close_sockets(kept)

    def _close_sockets(self, kept: Address | None) -> None:
        for local in [one for one in self._sockets if one != kept]:
            self._sockets.remove(local)
            self._agent.remove_local(local, self._loop.time())
            self._punching.endpoint.remove_port(local)

    async def _run(self, part: Callable[[asyncio.Timeout], Awaitable[None]]) -> None:
        peer = self._call.peer_id.hex()[:8]
        try:
            for repeat in range(1 + limits.BIRTHDAY_REPEATS):
                if repeat:
                    await asyncio.sleep(limits.BIRTHDAY_REPEAT_S * 2 ** (repeat - 1))
                async with asyncio.timeout(limits.BIRTHDAY_PATIENCE_S) as patience:
                    await part(patience)
                if self._over.is_set():
                    return
                self._waiting = True
                _log.info("the search for %s found nothing", peer)
        except TimeoutError:
            _log.info("no search for %s: the two had no turn at the same time", peer)

    # Both parts -----------------------------------------------------------------------------

    async def _probe(self, patience: asyncio.Timeout) -> None:
        turns = self._punching.turns
        while True:
            wanted = self._wanted(await self._hosts_ready())
            async with turns.turn(wanted):
                while True:
                    self._leave_token()
                    hosts = await self._seen(limits.BIRTHDAY_MEETING_S)
                    if hosts:
                        self._begin(patience, wanted, hosts)
                        self._puncher.seen(hosts, self._loop.time())
                        self._puncher.probe_many(self._loop.time())
                        self._changed()
                        await self._probe_to_an_end()
                        return
                    if turns.is_waited_for:
                        break
            _log.info("the sockets of %s are not there yet", self._call.peer_id.hex()[:8])

    async def _open_and_wait(self, patience: asyncio.Timeout) -> None:
        name = f"ready for {self._call.peer_id.hex()[:8]}"
        ready = self._punching.tasks.start(self._keep_ready(), name=name)
        try:
            while not await self._opened_in_turn(patience):
                _log.info("%s waits for our sockets no more", self._call.peer_id.hex()[:8])
        finally:
            ready.cancel()

    async def _opened_in_turn(self, patience: asyncio.Timeout) -> bool:
        """Once the peer is seen, take a turn; whether the peer still waited, and all is over."""
        hosts = await self._seen(limits.BIRTHDAY_PATIENCE_S)
        seen_at = self._loop.time()
        wanted = self._wanted(hosts)
        async with self._punching.turns.turn(wanted):
            if self._loop.time() - seen_at > _FRESH_S:
                hosts = await self._seen(_LOOK_S)
            if not hosts:
                return False
            self._puncher.seen(hosts, self._loop.time())
            self._changed()
            if self._puncher.search is None:
                peer = self._call.peer_id.hex()[:8]
                _log.info("%s was seen at an address that it has not named", peer)
            else:
                self._begin(patience, wanted, hosts)
                await self._open()
            return True

    def _wanted(self, hosts: frozenset[str]) -> TurnWanted:
        """A turn with the peer, which was seen there."""
        network = network_of(min(hosts)) if hosts else b""
        return TurnWanted(self._call.peer_id, network, ours=self._call.outgoing)

    def _begin(self, patience: asyncio.Timeout, wanted: TurnWanted, hosts: frozenset[str]) -> None:
        """From now on the search has a time limit of its own."""
        patience.reschedule(None)
        self._waiting = False
        self._punching.turns.spend(wanted, min(hosts))

    async def _probe_to_an_end(self) -> None:
        """Until a probe has hit, all are sent, or half of them where another search waits."""
        turns = self._punching.turns
        ends_at = self._loop.time() + _PROBES_S
        found = await self._found_within(_ENOUGH_S)
        while not found and self._loop.time() < ends_at and not turns.is_waited_for:
            found = await self._found_within(_LOOK_S)
        turns.give_back(self._puncher.probe_no_more() / limits.BIRTHDAY_PROBES)
        await self._found_within(_ANSWER_S)

    async def _found_within(self, limit_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._over.wait()
        return self._over.is_set()

    # Tokens ---------------------------------------------------------------------------------

    def _leave_token(self) -> None:
        """Let it be on its way; a silent witness delays nothing."""
        token = punch_token(self._call.offer_id, self._call.own_id)
        leaving = self._punching.witnesses.leave(token, self._witnesses())
        self._punching.tasks.start(leaving, name="leave a token with witnesses")

    async def _keep_ready(self) -> None:
        """Say that we wait for the peer's turn, and from where."""
        token = ready_token(self._call.offer_id, self._call.own_id)
        while True:
            await self._punching.witnesses.leave(token, self._witnesses())
            await asyncio.sleep(limits.WITNESSED_S / 2)

    def _witnesses(self) -> list[Contact]:
        """The peer's. Those that have answered nothing get what unproved addresses may get: one
        request at first, which is counted already, and one more whenever that may be asked again.
        """
        now, knows = self._loop.time(), self._punching.witnesses.knows
        is_first = self._strange_at is None
        again = self._strange_at is None or now >= self._strange_at + limits.WITNESS_SILENT_S
        if again:
            self._strange_at = now
        size = limits.FIRST_REQUEST_BYTES
        return [
            one
            for one in self._call.peer.witnesses
            if knows(one)
            or (again and (is_first or self._agent.take_besides(one.address, size, now)))
        ]

    async def _seen(self, limit_s: float) -> frozenset[str]:
        token = punch_token(self._call.offer_id, self._call.peer_id)
        return await self._hosts(token, limit_s)

    async def _hosts_ready(self) -> frozenset[str]:
        """Where the side with the sockets is ready; not asked where the turn is free."""
        if self._punching.turns.is_free:
            return frozenset()
        token = ready_token(self._call.offer_id, self._call.peer_id)
        return await self._hosts(token, limits.BIRTHDAY_PATIENCE_S)

    async def _hosts(self, token: bytes, limit_s: float) -> frozenset[str]:
        return await self._punching.witnesses.hosts_seen(token, self._call.own.witnesses, limit_s)

    # Sockets --------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Open sockets and their mappings, say so, and wait for the probes."""
        await self._open_sockets()
        if not self._over.is_set():
            self._puncher.sockets_open(self._sockets, self._loop.time())
            self._changed()
            self._leave_token()
            await self._found_within(_PROBES_S + _ANSWER_S)
        selected = self._agent.selected
        self._close_sockets(selected.base if selected is not None else None)

    async def _open_sockets(self) -> None:
        while len(self._sockets) < limits.BIRTHDAY_SOCKETS and not self._over.is_set():
            try:
                self._sockets.append(await self._punching.endpoint.open_another(4))
            except OSError as error:
                _log.info("a search has only %d sockets: %s", len(self._sockets), error)
                return
