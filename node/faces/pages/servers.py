"""The TURN servers of a page: relays with `relay_ports` whose secret this node's settings have.

A browser is a foreign client (PROTOCOL.md, 12.5): its user name says when it expires, and the
password follows from the relay's secret, which the page so never sees. The relay's bounds are those
of any client: its rates, its bytes a day, and allocations of one network.
"""

import base64
import hmac

from node.answers.pages import PageServer, PageServers
from protocol import limits
from protocol.addresses import split_host_port
from protocol.identity import PeerId, peer_id_text


def page_servers(relays: tuple[str, ...], secret: str, own_id: PeerId, wall: float) -> PageServers:
    """Servers for an RTCPeerConnection, by `host:port` of relays; `wall` is seconds since 1970."""
    username = f"{int(wall) + limits.RELAY_CREDENTIALS_S}:page of {peer_id_text(own_id)}"
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    credential = base64.b64encode(digest).decode()
    servers = tuple(PageServer((_url("turn", relay),), username, credential) for relay in relays)
    return PageServers(servers, limits.RELAY_CREDENTIALS_S)


def _url(scheme: str, relay: str) -> str:
    """RFC 7065: an IPv6 literal stands in brackets."""
    host, port = split_host_port(relay)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}:{shown}:{port}?transport=udp"
