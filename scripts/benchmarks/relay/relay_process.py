"""A relay of ours in a process of its own: it says where it listens, and grants on request.

python relay_process.py '{"address": "127.0.0.1"}'
"""

import asyncio
import json
import sys

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.relay.client import Legs
from node.relay.dispatch import RelayDispatch
from node.relay.service import RelayService
from node.relay.settings import RelaySettings
from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.turn.grant import encode_grant

RELAY_KEY = bytes(limits.KEY_BYTES)
RELAY_ID = Contact.at(RELAY_KEY, Address("127.0.0.1", 1)).peer_id


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def _main(address: str) -> None:
    environment, counters = Environment(), Counters()
    endpoint = Endpoint(counters, environment)
    legs: Legs = {}
    most = limits.RELAY_RATE_MAX
    service = RelayService(
        RELAY_ID,
        environment,
        endpoint,
        RelaySettings(rate=most, bytes_a_day=most),
        counters,
        is_our_relay=legs.__contains__,
        is_reachable=lambda: True,
    )
    _say(await endpoint.open(Address(address, 0)))
    RelayDispatch(service, legs, counters).listen(endpoint.demux)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        peer, host, port = json.loads(line)
        _say(encode_grant(service.grant(bytes((peer,)) * 20, Address(host, port))))
    await endpoint.close()


if __name__ == "__main__":
    asyncio.run(_main(**json.loads(sys.argv[1])))
