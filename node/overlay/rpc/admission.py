"""Whom we spend a key agreement on: X25519 costs more than everything else about a datagram.

So many strangers a second are taken as they come. Beyond that each must first echo a cookie, which
costs us one hash and shows that it receives at its address; and beyond a second bound strangers
wait, while peers whose keys we know are served as ever.
"""

from collections.abc import Callable

from node.overlay.rpc.rate_limit import RateLimit
from protocol import datagrams, limits
from protocol.addresses import Address
from protocol.errors import CookieNeeded, RateLimited
from protocol.overlay.proofs import Cookies


class Admission:
    """Admits keys that are not known. `clock` gives monotonic seconds, `secret` 32 bytes."""

    def __init__(
        self, secret: bytes, clock: Callable[[], float], send: Callable[[bytes, Address], None]
    ) -> None:
        self._clock = clock
        self._send = send
        self._cookies = Cookies(secret)
        self._freely = RateLimit(limits.UNKNOWN_KEYS_PER_SECOND, limits.UNKNOWN_KEYS_BURST)
        self._proved = RateLimit(
            limits.PROVED_UNKNOWN_KEYS_PER_SECOND, limits.PROVED_UNKNOWN_KEYS_BURST
        )
        self._answers = RateLimit(limits.COOKIES_PER_SECOND, limits.COOKIES_PER_SECOND)

    def admit(self, datagram: bytes, public_key: bytes, address: Address) -> None:
        """Return if this sealed datagram of an unknown key may cost a key agreement.

        Raises CookieNeeded after it asked for one, RateLimited where there are too many anyway.
        """
        now = self._clock()
        if self._freely.take(now):
            return
        nonce = datagrams.nonce_of(datagram)
        if self._cookies.proves(nonce[: limits.COOKIE_BYTES], public_key, address, now):
            if self._proved.take(now):
                return
            raise RateLimited("more strangers than are met")
        if self._answers.take(now):
            cookie = self._cookies.make(public_key, address, now)
            self._send(datagrams.ask_cookie(nonce, cookie), address)
        raise CookieNeeded("a stranger that must show that it receives at its address")
