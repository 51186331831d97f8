"""Asks contacts of this node's choice for the time, as long as too few networks have told it.

Most tell it while this node joins and keeps its tables, by the PINGs that it sends all the same: in
a network of some size none is sent for the time alone.
"""

import asyncio
from collections.abc import Callable

from node.overlay.reachability.own_clock import OwnClock
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method
from protocol.overlay.networks import NetworksOf, voice_of


class ClockUpkeep:
    """The answers reach `OwnClock` as every response does. `some_contacts` draws them by chance."""

    def __init__(
        self,
        wire: Wire,
        own_clock: OwnClock,
        some_contacts: Callable[[], list[Contact]],
        *,
        networks_of: NetworksOf,
    ) -> None:
        self._wire = wire
        self._own_clock = own_clock
        self._some_contacts = some_contacts
        self._networks_of = networks_of
        self._loop = asyncio.get_running_loop()
        self._again = asyncio.Event()

    async def run(self) -> None:
        """Ask now and again, less often as time goes on, until cancelled."""
        pause_s = limits.CLOCK_ASKED_AGAIN_S
        while True:
            self._again.clear()
            await self.ask()
            try:
                async with asyncio.timeout(pause_s):
                    await self._again.wait()
                pause_s = limits.CLOCK_ASKED_AGAIN_S
            except TimeoutError:
                pause_s = min(2 * pause_s, limits.CLOCK_ASKED_AGAIN_MAX_S)

    def renew(self) -> None:
        """Ask anew now: this machine's clock was set, or it slept."""
        self._again.set()

    async def ask(self) -> None:
        """Return once those asked have told the time, CLOCK_ASKED_WAIT_S later at most.

        Those that answer later count as well.
        """
        contacts = self._choose()
        if not contacts:
            return
        told = self._loop.create_future()
        missing = len(contacts)

        def on_reply(_reply: Reply) -> None:
            nonlocal missing
            missing -= 1
            if not missing and not told.done():
                told.set_result(None)

        for contact in contacts:
            self._wire.request(
                contact, Method.PING, [], on_reply, timeout_s=limits.CLOCK_ROUND_TRIP_S
            )
        await asyncio.wait({told}, timeout=limits.CLOCK_ASKED_WAIT_S)
        self._own_clock.view()  # what waits for a change learns of it

    def _choose(self) -> list[Contact]:
        """Contacts in networks of which none has told the time lately, one of each."""
        known = self._own_clock.networks()
        wanted = limits.CLOCK_VOICES_WANTED - len(known)
        if wanted <= 0:
            return []
        chosen: dict[bytes, Contact] = {}
        for contact in self._some_contacts():
            network = voice_of(self._networks_of, contact)
            if network not in known and len(chosen) < wanted:
                chosen.setdefault(network, contact)
        return list(chosen.values())
