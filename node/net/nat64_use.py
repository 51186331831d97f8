"""When a machine reaches IPv4 by a NAT64: looked at when it starts, and in each new network."""

import logging
from collections.abc import Sequence

from node.interfaces import WILDCARDS, families_of
from node.net.endpoint import Endpoint
from node.net.nat64 import find_prefix

_log = logging.getLogger(__name__)


async def use_nat64(endpoint: Endpoint, host_addresses: Sequence[str]) -> None:
    """Translate if this machine has IPv6 alone and its network a NAT64; else not, if it has IPv4.

    Sockets that were bound to addresses by name are left alone.
    """
    families, bound = families_of(host_addresses), endpoint.addresses
    if families == {6} and 6 in bound and (4 not in bound or bound[4].host in WILDCARDS):
        prefix = await find_prefix()
        if prefix is not None:
            _log.info("IPv4 is reached by the NAT64 of %s", prefix)
            endpoint.translate(prefix)
    elif 4 in families and endpoint.is_translated:
        try:
            await endpoint.translate_no_more()
        except OSError as error:
            _log.info("no UDP on IPv4: %s", error)
