"""The punching of one attempt, beside its ICE: its timer, its witnesses, its search."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Final

from node.links.punching.call import PunchCall
from node.links.punching.punching import LinkPunching
from node.links.punching.search import PortSearch
from protocol import limits
from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.overlay.contacts import Contact
from protocol.punching.plan import PunchPlan
from protocol.punching.puncher import ASKS_WITNESSES, Puncher
from protocol.punching.token import punch_token

_WITNESSES_S: Final = 3.0
"""So long witnesses are asked: the peer leaves its token when it has read the offer or answer."""


class PunchRun:
    """One attempt's. `flush` sends what the agent has to send."""

    def __init__(
        self, punching: LinkPunching, call: PunchCall, agent: IceAgent, flush: Callable[[], None]
    ) -> None:
        self._punching = punching
        self._call = call
        self._agent = agent
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self.plan: PunchPlan = call.plan(punching.opener_families)
        self._puncher: Puncher | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._search: PortSearch | None = None

    def begin(self, bases: Sequence[Address]) -> None:
        """Carry the plan out, once the agent has started and before it gets candidates."""
        if self.plan.way in ASKS_WITNESSES:
            peer = replace(self._call.peer, witnesses=self._witnesses_to_ask())
            self._call = replace(self._call, peer=peer)
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
            self._begin_to_ask(self._puncher)
        self._set_timer()

    def _witnesses_to_ask(self) -> tuple[Contact, ...]:
        """Of the peer's those that we know, and so many others as may cost what a victim may get.

        They come before checks: only what they see lets the peer have more of these.
        """
        chosen: list[Contact] = []
        others = 0
        for contact in self._call.peer.witnesses:
            if self._punching.witnesses.knows(contact):
                chosen.append(contact)
            elif others < limits.WITNESSES_NEEDED:
                size, now = limits.FIRST_REQUEST_BYTES, self._loop.time()
                if self._agent.take_besides(contact.address, size, now):
                    chosen.append(contact)
                    others += 1
        return tuple(chosen)

    def _begin_to_ask(self, puncher: Puncher) -> None:
        part = self.plan.birthday
        if part is not None:
            self._search = PortSearch(
                self._punching, self._call, part, self._agent, puncher, self._changed
            )
            self._task = self._search.task
        else:
            name = f"witnesses of {self._call.peer_id.hex()[:8]}"
            self._task = self._punching.tasks.start(self._ask_witnesses(puncher), name=name)

    @property
    def has_socket(self) -> bool:
        """Whether a socket of its search is open."""
        return self._search is not None and self._search.has_socket

    def end(self, kept: Address | None) -> None:
        """Punch no more; of the sockets of a search only that of the selected pair is kept."""
        self._puncher = None
        if self._timer is not None:
            self._timer.cancel()
        if self._search is not None:
            self._search.end(kept)

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
            self._changed()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._puncher is not None and self._puncher.wake_at < inf:
            self._timer = self._loop.call_at(self._puncher.wake_at, self._wake)

    def _changed(self) -> None:
        self._flush()
        self._set_timer()

    # Witnesses ------------------------------------------------------------------------------

    async def _ask_witnesses(self, puncher: Puncher) -> None:
        """Exchange tokens: where the peer was seen it may be sent more."""
        call, witnesses = self._call, self._punching.witnesses
        own_token = punch_token(call.offer_id, call.own_id)
        peer_token = punch_token(call.offer_id, call.peer_id)
        _, hosts = await asyncio.gather(
            witnesses.leave(own_token, call.peer.witnesses),
            witnesses.hosts_seen(peer_token, call.own.witnesses, _WITNESSES_S),
        )
        if hosts and self._puncher is not None:
            puncher.seen(hosts, self._loop.time())
            self._changed()
