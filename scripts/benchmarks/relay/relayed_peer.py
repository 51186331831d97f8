"""One end of a link whose only path is a relay, in a process of its own: see `link.peer`.

It first says where its port is, and is given credentials for that address and the relay's contact.
"""

import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.links.channel.channel import Channel
from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.links.relaying.relays import LinkRelays
from node.links.secure.certificate import create
from node.links.settings import LinkSettings
from node.net.endpoint import Endpoint
from node.relay.client import Legs, RelayClient
from node.relay.dispatch import RelayDispatch
from node.relay.service import RelayService
from node.relay.settings import RelaySettings
from node.tasks import TaskOwner
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, Features
from protocol.overlay.contacts import Contact
from protocol.turn.grant import RelayGrant, decode_grant
from scripts.benchmarks.link.peer import Options, finish, main, make_dtls

_CALLER, _CALLEE = bytes((1,)) * 20, bytes((2,)) * 20


async def connect(options: Options, ask: Any) -> Channel:
    """A channel by way of the relay, yet to be opened; `ask` exchanges what must be told."""
    environment, counters = Environment(), Counters()
    endpoint = Endpoint(counters, environment)
    own = await endpoint.open(Address(options.address, 0))
    packed, result = await ask(own)
    relay, grant = Contact(bytes.fromhex(packed)), decode_grant(result)
    own_id, peer_id = (_CALLER, _CALLEE) if options.sends else (_CALLEE, _CALLER)
    client = _make_client(own_id, environment, endpoint, counters, grant)
    relays = LinkRelays(
        client, own_id, lambda: [relay], tuple, lambda: endpoint.addresses, lambda _: True
    )
    settings = LinkSettings(data_path=options.data_path, relayed_only=True)
    ice = IcePath(
        LinkPaths(endpoint, environment, settings, relays=relays),
        peer_id,
        controlling=options.sends,
    )
    role = DtlsRole.PASSIVE if options.sends else DtlsRole.ACTIVE
    certificate = create(environment)
    described = replace(
        ice.describe(certificate.fingerprint, role), features=Features.ASKS_FOR_SACKS
    )
    ours = replace(described, relays=relays.to_name(peer_id, [relay]))
    theirs = Description.decode(bytes.fromhex(await ask(ours.encode().hex())))
    ice.relays.begin(ours if options.sends else theirs, ours, theirs)
    dtls = make_dtls(options, ice, certificate, environment)
    return await finish(ice, dtls, role, theirs, options.data_path)


def _make_client(
    own_id: bytes,
    environment: Environment,
    endpoint: Endpoint,
    counters: Counters,
    grant: RelayGrant,
) -> RelayClient:
    async def granted(_relay: Contact) -> RelayGrant:
        return grant

    async def reached(_relay: Contact) -> None:
        return

    legs: Legs = {}
    tasks = TaskOwner("relays of the benchmark")
    client = RelayClient(
        own_id,
        environment,
        endpoint,
        tasks,
        counters,
        legs,
        ask=granted,
        serves=lambda _: False,
        reach=reached,
    )
    client.listen()
    service = RelayService(
        own_id,
        environment,
        endpoint,
        RelaySettings(is_on=False),
        counters,
        is_our_relay=legs.__contains__,
        is_reachable=lambda: False,
    )
    RelayDispatch(service, legs, counters).listen(endpoint.demux)
    return client


if __name__ == "__main__":
    asyncio.run(main(Options(**json.loads(sys.argv[1])), connect))
