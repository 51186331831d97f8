"""What this node knows of its own clock: who asks and who reads tell what contacts say of dates."""

import asyncio

from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code
from protocol.overlay.networks import NetworksOf, voice_of
from protocol.reachability.clock_signs import ClockSign, ClockSigns, ClockView

_SIGNS: dict[int, ClockSign] = {
    Code.OK: ClockSign.TAKEN,
    Code.ISSUED_IN_FUTURE: ClockSign.REFUSED_AS_FUTURE,
    Code.EXPIRED: ClockSign.REFUSED_AS_EXPIRED,
}
"""By the code of a response to what this node has dated; others tell nothing of its date."""


class OwnClock:
    """Gives a `view` of it at any time."""

    def __init__(self, networks_of: NetworksOf) -> None:
        self._networks_of = networks_of
        self._loop = asyncio.get_running_loop()
        self._signs = ClockSigns()

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
        self._signs.note(voice_of(self._networks_of, contact), sign, self._loop.time(), key=key)

    def view(self) -> ClockView:
        """What is known now."""
        return self._signs.view(self._loop.time())
