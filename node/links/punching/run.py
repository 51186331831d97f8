"""The punching of one attempt, beside its ICE: timer, witnesses, and sockets of a search."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from node.links.punching.call import PunchCall
from node.links.punching.punching import LinkPunching
from protocol import limits
from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.punching.plan import BirthdayPart, PunchPlan
from protocol.punching.puncher import Puncher
from protocol.punching.token import punch_token

_log = logging.getLogger(__name__)

_WITNESSES_S: Final = 3.0
"""So long witnesses are asked: the peer leaves its token when it has read the offer or answer."""

_SEARCH_S: Final = limits.BIRTHDAY_PROBES / limits.BIRTHDAY_RATE + 2.0
"""The probes of one search, and the answer to the last."""


class PunchRun:
    """One attempt's. `flush` sends what the agent has to send."""

    def __init__(
        self, punching: LinkPunching, call: PunchCall, agent: IceAgent, flush: Callable[[], None]
    ) -> None:
        self._punching = punching
        self._endpoint = punching.endpoint
        self._call = call
        self._agent = agent
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self.plan: PunchPlan = call.plan(punching.opener_families)
        self._puncher: Puncher | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._sockets: list[Address] = []
        self._over = asyncio.Event()

    def begin(self, bases: Sequence[Address]) -> None:
        """Carry the plan out, once the agent has started and before it gets candidates."""
        self._puncher = Puncher(
            self._agent,
            self.plan,
            bases=bases,
            remotes=self._call.peer.candidates,
            sample_port=self._call.peer.nat.sample_port,
            rng=self._punching.rng,
        )
        self._puncher.begin(self._loop.time())
        if self._puncher.asks_witnesses and self._call.own.witnesses and self._call.peer.witnesses:
            name = f"search for {self._call.peer_id.hex()[:8]}"
            self._task = self._punching.tasks.start(self._search(self._puncher), name=name)
        self._set_timer()

    def end(self, kept: Address | None) -> None:
        """Punch no more; of the sockets of a search only that of the selected pair is kept."""
        self._over.set()
        self._puncher = None
        if self._timer is not None:
            self._timer.cancel()
        for local in [one for one in self._sockets if one != kept]:
            self._sockets.remove(local)
            self._agent.remove_local(local, self._loop.time())
            self._endpoint.remove_port(local)

    async def close(self) -> None:
        """End everything, the socket that carried the link included."""
        self.end(None)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # Time -----------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._puncher is not None:
            self._puncher.wake(self._loop.time())
            self._flush()
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._puncher is not None and self._puncher.wake_at < inf:
            self._timer = self._loop.call_at(self._puncher.wake_at, self._wake)

    # Witnesses and searches -----------------------------------------------------------------

    async def _search(self, puncher: Puncher) -> None:
        """Exchange tokens; then, if the plan has a search and its turn has come, take part."""
        hosts = await self._witnessed()
        if not hosts or self._over.is_set():
            return
        puncher.seen(hosts, self._loop.time())
        self._flush()
        part = puncher.search if self._punching.searches else None
        turns = self._punching.turns
        if part is None or not turns.take(self._loop.time()):
            return
        try:
            if part is BirthdayPart.SOCKETS:
                await self._open_sockets()
                puncher.sockets_open(self._sockets, self._loop.time())
            else:
                puncher.probe_many(self._loop.time())
            self._flush()
            self._set_timer()
            async with asyncio.timeout(_SEARCH_S):
                await self._over.wait()
        except TimeoutError:
            _log.debug("a search by many probes found nothing")
        finally:
            turns.give_back()

    async def _witnessed(self) -> frozenset[str]:
        call, witnesses = self._call, self._punching.witnesses
        own_token = punch_token(call.offer_id, call.own_id)
        peer_token = punch_token(call.offer_id, call.peer_id)
        _, hosts = await asyncio.gather(
            witnesses.leave(own_token, call.peer.witnesses),
            witnesses.hosts_seen(peer_token, call.own.witnesses, _WITNESSES_S),
        )
        return hosts

    async def _open_sockets(self) -> None:
        while len(self._sockets) < limits.BIRTHDAY_SOCKETS:
            try:
                self._sockets.append(await self._endpoint.open_another(4))
            except OSError as error:
                _log.info("a search has only %d sockets: %s", len(self._sockets), error)
                return
            if self._over.is_set():
                self.end(None)
                return
