"""When a node behind a router that counts looks where the router has come to."""

import asyncio
from typing import Any

import pytest

from protocol.addresses import Address, pack_address
from protocol.description import Description
from protocol.errors import CallFailed
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.reachability.network_view import (
    FamilyView,
    FilteringKind,
    MappingKind,
    NatKind,
    NetworkView,
    PortSample,
)
from protocol.signaling import CallResult
from protocol.stun.attributes import Attribute, encode_xor_address
from protocol.stun.message import StunClass, StunMessage, decode_stun, encode_stun
from simulations.residents.no_contacts import NoWitnesses
from tests.node.links.link_network import Node, network

OLD_PORT, NEW_PORT = 20_040, 20_043
COUNTS = NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, False, 1)


class Mapped(asyncio.DatagramProtocol):
    """Answers Binding requests as a contact does, which sees the router's newest port."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        asked = decode_stun(data)
        mapped = encode_xor_address(Address("192.0.2.7", NEW_PORT), asked.transaction)
        told = StunMessage(
            StunClass.SUCCESS,
            asked.method,
            asked.transaction,
            ((Attribute.XOR_MAPPED_ADDRESS, mapped),),
        )
        self._transport.sendto(encode_stun(told), source)


class OneContact(NoWitnesses):
    """Of a node that has met one."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact

    def choose(self) -> tuple[Contact, ...]:
        return (self._contact,)


async def test_an_offer_has_the_sample_that_was_taken_for_it() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Mapped, local_addr=("127.0.0.1", 3478))
    address = Address("127.0.0.1", 3478)
    contact = Contact(Identity(bytes(32)).public_key + pack_address(address))
    sample = PortSample(OLD_PORT, loop.time(), 0.0)
    view = NetworkView({4: FamilyView(nat=COUNTS, is_mapped=True, last_sample=sample)})
    offers: list[Description] = []

    async def keep(_caller: Node, _callee: Node, _id: bytes, offer: Description) -> CallResult:
        offers.append(offer)
        raise CallFailed("kept")

    async with network() as made:
        made.carry = keep
        caller = await made.add(view=view, witnesses=OneContact(contact))
        callee = await made.add()
        await asyncio.sleep(1.0)
        with pytest.raises(CallFailed, match="kept"):
            await caller.pool.connect(callee.peer_id)
        assert [offer.nat.sample_port for offer in offers] == [NEW_PORT]
    transport.close()
