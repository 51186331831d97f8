"""A peer that asks for handshake after handshake on its open link: none is made, for it or others.

Who may hold it: the peer, one handshake of its attempt. Another one would show a certificate that
no signal vouched for, and cost a millisecond of key exchange each; what asks for it is refused.
"""

import asyncio
import contextlib
from typing import Any

import pytest
from aiortc import RTCCertificate
from OpenSSL import SSL

from node.links.secure.dtls import DtlsPath
from node.links.secure.dtls_terms import LinkCertificate
from simulations.attacks.forged_datagrams import FORGED
from tests.hostile.told import RecordProperty
from tests.node.links.dtls_ends import flights
from tests.node.links.link_network import Node, frame_of, linked, network, until

pytestmark = pytest.mark.usefixtures("links")

ASKED = 50
EVERY_S = 0.01
ATTACKERS = 4
CALLERS = 4


def let_begin_anew(attackers: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    """The DTLS of attackers may ask for handshakes, as stock ends do."""
    serials = {one.certificate.certificate.serial_number for one in attackers}
    ours = LinkCertificate._create_ssl_context

    def terms(certificate: LinkCertificate, srtp_profiles: list[Any]) -> SSL.Context:
        is_hostile = certificate._cert.serial_number in serials
        make = RTCCertificate._create_ssl_context if is_hostile else ours
        return make(certificate, srtp_profiles=srtp_profiles)

    monkeypatch.setattr(LinkCertificate, "_create_ssl_context", terms)


class Counted:
    """The DTLS of all links that are open, and how many handshakes were begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open: list[DtlsPath] = []
        self.begun = 0
        carry, shake = DtlsPath.carry, DtlsPath._shake

        def carried(path: DtlsPath, *args: Any) -> None:
            self.open.append(path)
            carry(path, *args)

        async def shaken(path: DtlsPath) -> None:
            self.begun += 1
            await shake(path)

        monkeypatch.setattr(DtlsPath, "carry", carried)
        monkeypatch.setattr(DtlsPath, "_shake", shaken)

    def of(self, node: Node) -> DtlsPath:
        return self.all_of(node)[0]

    def all_of(self, node: Node) -> list[DtlsPath]:
        return [one for one in self.open if one.ice._endpoint is node.paths.endpoint]


def asking(path: DtlsPath) -> list[bytes]:
    """A HelloRequest or ClientHello under the link's keys, and one in the clear."""
    connection: Any = path._ssl
    with contextlib.suppress(SSL.Error):  # a refusal of the last one among them
        if not connection.renegotiate_pending():
            connection.renegotiate()
        connection.do_handshake()
    return [*flights(connection), FORGED["ClientHello"]("")]


async def ask_for_ever(path: DtlsPath, sent: list[int]) -> None:
    for _ in range(ASKED):
        for datagram in asking(path):
            sent.append(len(datagram))
            path.ice.datagrams._give_away(datagram)
        await asyncio.sleep(EVERY_S)


async def seconds_to_link(caller: Node, callee: Node) -> float:
    began_at = asyncio.get_running_loop().time()
    await linked(caller, callee)
    return asyncio.get_running_loop().time() - began_at


async def test_handshakes_that_peers_ask_for_on_open_links_are_not_made(
    monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    counted = Counted(monkeypatch)
    async with network() as peers:
        hub, friend = await peers.add(), await peers.add()
        alone_s = await seconds_to_link(friend, hub)
        record_property("alone_s", alone_s)
        record_property("attackers", ATTACKERS)
        attackers = [await peers.add() for _ in range(ATTACKERS)]
        let_begin_anew(attackers, monkeypatch)
        for attacker in attackers:
            await linked(attacker, hub)
        begun, sent = counted.begun, list[int]()
        asked = [asyncio.create_task(ask_for_ever(counted.of(one), sent)) for one in attackers]
        seconds = [await seconds_to_link(await peers.add(), hub) for _ in range(CALLERS)]
        record_property("attacked_s", max(seconds))
        await asyncio.gather(*asked)
        assert len(sent) > ASKED * ATTACKERS, "sealed ones, and those in the clear"
        assert counted.begun == begun + 2 * CALLERS, "those of the honest callers, at both ends"
        assert max(seconds) <= alone_s + 0.05
        link = friend.pool.get(hub.peer_id)
        assert link is not None
        link.send(frame_of(b"still here"))
        await until(lambda: b"still here" in hub.received)
        for path in counted.all_of(hub):
            connection: Any = path._ssl
            assert connection.total_renegotiations() == 0
