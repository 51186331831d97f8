"""The next port of a router that counts, asked for just before it matters (RFC 8489).

A socket of its own sends a Binding request to a contact: the mapping that the router makes for it
is the newest, so the port that the contact saw is where the router has come to.
"""

import asyncio
import logging
from typing import Final

from node.environment import Environment
from node.net.endpoint import Endpoint
from protocol.addresses import Address
from protocol.errors import UnexpectedReply
from protocol.overlay.contacts import Contact
from protocol.stun.attributes import Attribute
from protocol.stun.message import StunClass, StunMessage, StunMethod, decode_stun, encode_stun

_log = logging.getLogger(__name__)

_PREFIX_BYTES: Final = 4
_TRANSACTION_BYTES: Final = 12
_WAIT_S: Final = 0.3
"""A sample that takes longer is not worth the wait: the window of the one before will do."""


class PortSampler:
    """Takes samples one after another. Made inside a running loop; raises AlreadyOwned."""

    def __init__(self, endpoint: Endpoint, environment: Environment) -> None:
        self._endpoint = endpoint
        self._rng = environment.rng
        self._loop = asyncio.get_running_loop()
        self._prefix = environment.rng.randbytes(_PREFIX_BYTES)
        self._awaited: dict[bytes, asyncio.Future[Address]] = {}
        endpoint.demux.register_transactions(self._prefix, self)

    async def sample(self, contact: Contact) -> tuple[int, float] | None:
        """The port of a new mapping, and when it was made; None without an answer in time."""
        try:
            local = await self._endpoint.open_another(contact.family)
        except OSError as error:
            _log.info("no socket for a sample of the router's ports: %s", error)
            return None
        try:
            return await self._ask(contact.address, local)
        except TimeoutError:
            return None
        finally:
            self._endpoint.remove_port(local)

    async def _ask(self, server: Address, local: Address) -> tuple[int, float]:
        rest = self._rng.randbytes(_TRANSACTION_BYTES - _PREFIX_BYTES)
        transaction = self._prefix + rest
        request = StunMessage(StunClass.REQUEST, StunMethod.BINDING, transaction)
        answered: asyncio.Future[Address] = self._loop.create_future()
        self._awaited[transaction] = answered
        sent_at = self._loop.time()
        self._endpoint.sendto(encode_stun(request), server, local)
        try:
            async with asyncio.timeout(_WAIT_S):
                return (await answered).port, sent_at
        finally:
            del self._awaited[transaction]

    def stun_received(self, message: bytes, _source: Address, _local: Address) -> None:
        """Take a response to a request of ours; raises RemoteError."""
        response = decode_stun(message)
        answered = self._awaited.get(response.transaction)
        mapped = response.address(Attribute.XOR_MAPPED_ADDRESS)
        if answered is None or answered.done() or mapped is None:
            raise UnexpectedReply("a Binding response that matches no request")
        answered.set_result(mapped)
