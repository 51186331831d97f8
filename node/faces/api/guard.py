"""Access control of the API: programs on this machine that can read the home, and hardly a page.

The token keeps other users of the machine out. A page in the owner's browser has no token either,
but could still probe; so requests with an `Origin` are refused, and so are requests with a `Host`
that is no loopback name, which is how DNS rebinding shows. Pages of the origins that the owner
permits, if they have the token, may ask for links (PAGES) and for nothing else.
"""

import hmac
from collections.abc import Collection, Mapping

from node.faces.api.errors import Forbidden, Unauthorized
from protocol.addresses import is_loopback
from protocol.errors import BadConfig

BEARER_BYTES = 32
PROOF_HEADER = "Modswarm-Proof"
"""In each answer to a request with the token: that a node answers, and which home's."""
_PROVED = b"modswarm: the control API of the home with this token"
_SCHEME = "bearer "
PAGES = "/v1/pages"
"""What pages may ask for; what lies below it as well."""


def proof(token: str) -> str:
    """What only a node with this token puts into PROOF_HEADER."""
    return hmac.digest(token.encode(errors="surrogateescape"), _PROVED, "sha256").hex()


def check_loopback(host: str) -> None:
    """Raise BadConfig unless `host` is a loopback IP literal."""
    if not is_loopback(host):
        raise BadConfig(f"the control API listens on loopback addresses only, not on {host!r}")


def cross_origin_headers(origin: str) -> dict[str, str]:
    """Of every answer to a page of a permitted origin, so that its browser shows it the answer."""
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def preflight_headers(origin: str) -> dict[str, str]:
    """What a browser wants to know before it lets such a page ask (Fetch, 3.2.5)."""
    return cross_origin_headers(origin) | {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "authorization, content-type",
        "Access-Control-Allow-Private-Network": "true",
        "Access-Control-Max-Age": "600",
    }


def check_page(headers: Mapping[str, str], path: str, origins: Collection[str]) -> None:
    """Raise Forbidden for a request of a web page, but by one of `origins` for a page's path.

    `headers` are found by names in lower case.
    """
    if "origin" not in headers:
        return
    if path != PAGES and not path.startswith(f"{PAGES}/"):
        raise Forbidden("the control API is not for web pages")
    if headers["origin"] not in origins:
        raise Forbidden(
            "the control API is not for web pages of this origin",
            advice="Name it in page_origins in config.toml, if you trust it.",
        )


def check_host(headers: Mapping[str, str]) -> None:
    """Raise Forbidden for a request under a name that may be another machine's."""
    if not _names_loopback(headers.get("host", "")):
        raise Forbidden("the control API answers only under a loopback name")


def check_request(
    headers: Mapping[str, str], token: str, path: str = "", origins: Collection[str] = ()
) -> None:
    """Raise Forbidden or Unauthorized unless the request may be served.

    `headers` are found by names in lower case. `origins` are those of pages that the owner permits.
    """
    check_page(headers, path, origins)
    check_host(headers)
    given = headers.get("authorization", "")
    bearer = given[len(_SCHEME) :] if given[: len(_SCHEME)].lower() == _SCHEME else ""
    offered = bearer.strip().encode(errors="surrogateescape")
    if not hmac.compare_digest(offered, token.encode()):
        raise Unauthorized("the control API wants the bearer token that stands in the home folder")


def _names_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.removeprefix("[").removesuffix("]")
    return name.lower() == "localhost" or is_loopback(name)
