"""Which registrar a link's call went by: the link itself says so."""

from dataclasses import replace

from protocol.description import Description
from protocol.signaling import CallResult
from tests.node.links.link_network import Node, call_directly, linked, network

REGISTRAR = bytes(range(20))


async def test_a_link_says_by_which_registrar_its_call_went() -> None:
    async def by_registrar(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        result = await call_directly(caller, callee, offer_id, offer)
        return replace(result, signaled_via=(REGISTRAR,))

    async with network() as peers:
        peers.carry = by_registrar
        outgoing, incoming = await linked(await peers.add(), await peers.add())
        assert outgoing.signaled_via == (REGISTRAR,)
        assert incoming.signaled_via == ()
