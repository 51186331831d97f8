"""Access control of the API: programs on this machine that can read the home, and no web page.

The token keeps other users of the machine out. A page in the owner's browser has no token either,
but could still probe; so requests with an `Origin` are refused, and so are requests with a `Host`
that is no loopback name, which is how DNS rebinding shows.
"""

import hmac
from collections.abc import Mapping

from node.faces.api.errors import Forbidden, Unauthorized
from protocol.addresses import is_loopback
from protocol.errors import BadConfig

BEARER_BYTES = 32
PROOF_HEADER = "Modswarm-Proof"
"""In each answer to a request with the token: that a node answers, and which home's."""
_PROVED = b"modswarm: the control API of the home with this token"
_SCHEME = "bearer "


def proof(token: str) -> str:
    """What only a node with this token puts into PROOF_HEADER."""
    return hmac.digest(token.encode(errors="surrogateescape"), _PROVED, "sha256").hex()


def check_loopback(host: str) -> None:
    """Raise BadConfig unless `host` is a loopback IP literal."""
    if not is_loopback(host):
        raise BadConfig(f"the control API listens on loopback addresses only, not on {host!r}")


def check_request(headers: Mapping[str, str], token: str) -> None:
    """Raise Forbidden or Unauthorized unless the request may be served.

    `headers` are found by names in lower case.
    """
    if "origin" in headers:
        raise Forbidden("the control API is not for web pages")
    if not _names_loopback(headers.get("host", "")):
        raise Forbidden("the control API answers only under a loopback name")
    given = headers.get("authorization", "")
    bearer = given[len(_SCHEME) :] if given[: len(_SCHEME)].lower() == _SCHEME else ""
    offered = bearer.strip().encode(errors="surrogateescape")
    if not hmac.compare_digest(offered, token.encode()):
        raise Unauthorized("the control API wants the bearer token that stands in the home folder")


def _names_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.removeprefix("[").removesuffix("]")
    return name.lower() == "localhost" or is_loopback(name)
