"""Admission control for unknown keys: the key agreement (X25519) is the costly step of a datagram.

Up to UNKNOWN_KEYS_PER_SECOND datagrams of unknown keys are admitted at once. Beyond that each must
first echo a cookie, which costs one hash and shows that the sender receives at its address
(WireGuard, 5.3). Beyond a second bound unknown keys are refused, while peers with known keys are
served as before. Of the cookies and of the second bound each network has a part alone, so that a
few networks full of unknown keys keep no newcomer of another out.
"""

from collections.abc import Callable

from protocol import datagrams, limits
from protocol.addresses import Address
from protocol.datagrams import PacketKeys
from protocol.errors import CookieNeeded
from protocol.overlay.proofs import Cookies
from protocol.overlay.shares import holders_of
from protocol.rate_limit import RateLimit, SharedRateLimit


class RefusedAgreements:
    """The keys agreed on with peers of which nothing has opened yet.

    Without them each forged datagram in the name of one key would cost an agreement: a key must
    solve the identity puzzle, so other keys are dear.
    """

    def __init__(self) -> None:
        self._keys: dict[bytes, PacketKeys] = {}

    def get(self, public_key: bytes) -> PacketKeys | None:
        """The keys that were agreed on with the holder of a public key."""
        return self._keys.get(public_key)

    def add(self, public_key: bytes, keys: PacketKeys) -> None:
        """Remember an agreement; the oldest makes room."""
        self._keys[public_key] = keys
        if len(self._keys) > limits.AGREEMENTS_REFUSED:
            del self._keys[next(iter(self._keys))]

    def pop(self, public_key: bytes) -> None:
        """The peer has a session now."""
        self._keys.pop(public_key, None)


class Admission:
    """Admits unknown keys. `clock` gives monotonic seconds, `secret` has 32 bytes."""

    def __init__(
        self, secret: bytes, clock: Callable[[], float], send: Callable[[bytes, Address], None]
    ) -> None:
        self._clock = clock
        self._send = send
        self._cookies = Cookies(secret)
        self._without_cookie = RateLimit(limits.UNKNOWN_KEYS_PER_SECOND, limits.UNKNOWN_KEYS_BURST)
        self._with_cookie = SharedRateLimit(
            limits.PROVED_UNKNOWN_KEYS_PER_SECOND, 1.0, limits.NETWORK_PART
        )
        self._cookie_replies = SharedRateLimit(limits.COOKIES_PER_SECOND, 1.0, limits.NETWORK_PART)

    def admit(self, datagram: bytes, public_key: bytes, address: Address) -> None:
        """Return if this sealed datagram of an unknown key may cost a key agreement.

        Raises CookieNeeded after asking for a cookie, RateLimited beyond what the sender's network
        has of the cookies or of the second bound.
        """
        now = self._clock()
        if self._without_cookie.take(now):
            return
        nonce = datagrams.nonce_of(datagram)
        network = holders_of(address.host)[-1]
        if self._cookies.proves(nonce[: limits.COOKIE_BYTES], public_key, address, now):
            self._with_cookie.charge("agreement", network, now)
            return
        self._cookie_replies.charge("cookie", network, now)
        cookie = self._cookies.make(public_key, address, now)
        self._send(datagrams.ask_cookie(nonce, cookie), address)
        raise CookieNeeded("an unknown key whose sender must show that it receives at its address")
