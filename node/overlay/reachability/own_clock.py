"""What this node knows of its own clock, and the clock corrected by what contacts say.

Who asks and who reads tell what contacts say of dates and of the time. The corrected clock dates
and judges records and offers. What grants access must hold by both clocks: nothing that has expired
by one of them does, so contacts that lie about the time open nothing.
"""

import asyncio
from collections.abc import Callable

from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code
from protocol.overlay.networks import NetworksOf, voice_of
from protocol.reachability.clock_signs import ClockSign, ClockSigns, ClockView
from protocol.reachability.clock_times import ClockTimes, judged

_SIGNS: dict[int, ClockSign] = {
    Code.OK: ClockSign.TAKEN,
    Code.ISSUED_IN_FUTURE: ClockSign.REFUSED_AS_FUTURE,
    Code.EXPIRED: ClockSign.REFUSED_AS_EXPIRED,
}
"""By the code of a response to what this node has dated; others tell nothing of its date."""


class OwnClock:
    """Gives a `view` of it and the corrected time at any time.

    `wall` gives seconds since 1970 by this machine's clock.
    """

    def __init__(self, networks_of: NetworksOf, wall: Callable[[], float]) -> None:
        self._networks_of = networks_of
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._signs = ClockSigns()
        self._times = ClockTimes()
        self._known = ClockView()
        self._correction_s = 0.0
        self._own_zero = wall() - self._loop.time()
        self._look_at = 0.0
        self._changed = asyncio.Event()
        self.changes = 0

    # What contacts say --------------------------------------------------------------------

    def told(self, contact: Contact, seconds: int, asked_at: float) -> None:
        """A contact that was asked then says that it is so many seconds since 1970."""
        now = self._loop.time()
        network = voice_of(self._networks_of, contact)
        self._times.note(network, seconds, asked_at=asked_at, now=now, wall=self._wall())
        self._look_at = now

    def answered(self, contact: Contact, code: int) -> None:
        """A contact answered with this code to a request that bears a date of ours.

        Only such a request: an error in the response to any other is no word on our clock.
        """
        if (sign := _SIGNS.get(code)) is not None:
            self._note(contact, sign)

    def read(self, contact: Contact, key: bytes, *, timely: int, from_future: int) -> None:
        """A contact sent so much of what it keeps under a key, timely and not by our clock."""
        if from_future > timely:
            self._note(contact, ClockSign.SENT_FROM_FUTURE, key)
        elif timely:
            self._note(contact, ClockSign.SENT_IN_TIME, key)

    def _note(self, contact: Contact, sign: ClockSign, key: bytes = b"") -> None:
        now = self._loop.time()
        self._signs.note(voice_of(self._networks_of, contact), sign, now, key=key)
        self._look_at = now

    def networks(self) -> set[bytes]:
        """The networks whose word on the time counts now."""
        return self._times.networks(self._loop.time(), self._wall())

    # What follows -------------------------------------------------------------------------

    def view(self) -> ClockView:
        """What is known now."""
        self._look()
        return self._known

    def now(self) -> float:
        """Seconds since 1970 by the corrected clock: by which records and offers are dated."""
        self._look()
        return self._wall() - self._correction_s

    def uncorrected(self) -> float:
        """Seconds since 1970 by this machine's own clock: what others are told."""
        return self._wall()

    def earliest(self) -> float:
        """The earlier of both clocks: what has not expired by one of them may be needed."""
        return min(self._wall(), self.now())

    def latest(self) -> float:
        """The later of both clocks: what grants access is over by the first that says so."""
        return max(self._wall(), self.now())

    @property
    def correction_s(self) -> float:
        """By how much the corrected clock is behind this machine's; 0 unless that is off."""
        self._look()
        return self._correction_s

    async def until_changes(self, count: int) -> None:
        """Wait until `changes` is more than `count`: something else is known of the clock."""
        while self.changes <= count:
            self._changed.clear()
            await self._changed.wait()

    def _look(self) -> None:
        """Look at what was told, where something new was, or the clock has been set."""
        now, wall = self._loop.time(), self._wall()
        is_set = abs(wall - now - self._own_zero) > limits.CLOCK_AGREE_S
        if now < self._look_at and not is_set:
            return
        self._look_at, self._own_zero = now + limits.CLOCK_LOOK_S, wall - now
        before, corrected_s = self._known, self._correction_s
        times = self._times.view(now, wall)
        self._known = judged(times, self._signs.view(now))
        self._correction_s = times.ahead_s if self._known.corrected else 0.0
        moved_s = abs(self._correction_s - corrected_s)
        if before.verdict is not self._known.verdict or moved_s > limits.CLOCK_AGREE_S or is_set:
            self.changes += 1
            self._changed.set()
