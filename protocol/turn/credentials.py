"""The credentials and nonces of one relay, none of which it keeps.

A user name is `expiry:peer id` (RFC 7635's problem, solved as TURN's REST interface does), and the
password a MAC of it. Both it and the nonce are made for the address that asked, so that credentials
which leak are of no use elsewhere, and a request that shows the nonce has proved its address.

With `shared_secret` the relay also takes the REST form of foreign clients: any other name behind
the expiry, and as password Base64(HMAC-SHA1(shared secret, user name)), at any address.
"""

import base64
import hmac
from typing import Final, NamedTuple

from protocol import limits
from protocol.addresses import Address, pack_address
from protocol.errors import BadPeerId
from protocol.identity import PeerId, parse_peer_id, peer_id_text
from protocol.overlay.proofs import proof_of_address
from protocol.stun.message import long_term_key
from protocol.turn.grant import RelayGrant, RelayTerms

REALM: Final = "modswarm"

_NONCE_BYTES: Final = 12
_PASSWORD_BYTES: Final = 16
_NONCE_PURPOSE: Final = b"modswarm/nonce"
_EXPIRY_DIGITS: Final = 12


class Account(NamedTuple):
    """Whose credentials they are: a peer's id, or a foreign client's name as `owner`."""

    owner: bytes
    is_peer: bool
    key: bytes


class CredentialMaker:
    """Makes and checks what one relay hands out; `secret` has 32 bytes.

    `now` is monotonic seconds, `wall` seconds since 1970.
    """

    def __init__(self, secret: bytes, *, shared_secret: str = "") -> None:
        self._secret = secret
        self._shared_secret = shared_secret.encode()

    def grant(
        self, peer_id: PeerId, address: Address, *, now: float, wall: float, terms: RelayTerms
    ) -> RelayGrant:
        """Credentials and a nonce for a peer at an address that it has proved."""
        username = f"{int(wall) + limits.RELAY_CREDENTIALS_S}:{peer_id_text(peer_id)}"
        return RelayGrant(
            username,
            self._password(username, address),
            self.nonce(address, now),
            REALM,
            limits.RELAY_CREDENTIALS_S,
            terms,
        )

    def account(self, username: str, address: Address, wall: float) -> Account | None:
        """Whose `username` is, and the key it must prove; None if expired or of no known form."""
        expiry, _, name = username.partition(":")
        if len(expiry) > _EXPIRY_DIGITS or not expiry.isascii() or not expiry.isdigit():
            return None
        if int(expiry) <= wall:
            return None
        try:
            owner, is_peer = parse_peer_id(name), True
        except BadPeerId:
            owner, is_peer = name.encode(), False
        if is_peer:
            password = self._password(username, address)
        elif self._shared_secret:
            digest = hmac.digest(self._shared_secret, username.encode(), "sha1")
            password = base64.b64encode(digest).decode()
        else:
            return None
        return Account(owner, is_peer, long_term_key(username, REALM, password))

    def nonce(self, address: Address, now: float) -> str:
        """The nonce of an address in this period: 16 characters."""
        return self._nonce_of(address, int(now // limits.RELAY_NONCE_PERIOD_S))

    def is_fresh(self, nonce: str, address: Address, now: float) -> bool:
        """Whether a nonce was made for this address in this period or the last."""
        period = int(now // limits.RELAY_NONCE_PERIOD_S)
        given = nonce.encode()
        return any(
            hmac.compare_digest(given, self._nonce_of(address, one).encode())
            for one in (period, period - 1)
        )

    def _nonce_of(self, address: Address, period: int) -> str:
        proof = proof_of_address(self._secret, _NONCE_PURPOSE, _NONCE_BYTES, b"", address, period)
        return base64.urlsafe_b64encode(proof).decode()

    def _password(self, username: str, address: Address) -> str:
        digest = hmac.digest(self._secret, username.encode() + pack_address(address), "sha256")
        return base64.urlsafe_b64encode(digest[:_PASSWORD_BYTES]).decode().rstrip("=")
