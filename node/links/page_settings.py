"""The settings about web pages: which may ask for a link, and by which relays."""

import re
from typing import Final

from protocol import limits
from protocol.addresses import split_host_port
from protocol.errors import BadAddress, BadConfig

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""As a browser writes it in `Origin` (RFC 6454, 6.2); "null", which is any file's, is none."""


def check_pages(origins: tuple[str, ...], relays: tuple[str, ...], relay_secret: str) -> None:
    """Raise BadConfig where one of these cannot be what it is to be."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise BadConfig(
                f"page_origins takes scheme, host and port of a page, such as"
                f" https://mods.example, without a path and in small letters: {origin[:80]!r}"
            )
    for name, count in (("page_origins", len(origins)), ("page_relays", len(relays))):
        if count > limits.PAGE_SETTINGS:
            raise BadConfig(f"{name} has more than {limits.PAGE_SETTINGS} of them")
    if bool(relays) != bool(relay_secret):
        raise BadConfig("page_relays needs page_relay_secret, and the other way round")
    for relay in relays:
        try:
            _, port = split_host_port(relay)
        except BadAddress as error:
            raise BadConfig(f"page_relays: {error}") from None
        if not port:
            raise BadConfig(f"page_relays: not a port that a browser can ask: {relay[:80]!r}")
