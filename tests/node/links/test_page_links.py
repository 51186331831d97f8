"""Links with web pages, as the pool makes them: bounded, and silent until the page is proved."""

import asyncio
from dataclasses import replace

import pytest

from node.links.attempt import LinkAttempt
from node.links.link import Link
from node.links.settings import LinkSettings
from protocol import limits
from protocol.description import DtlsRole
from protocol.errors import Busy, LinkFailed, ModswarmError
from protocol.identity import Identity
from tests.identities import SEEDS
from tests.node.links.link_network import Network, Node, frame_of, offer_of, until

STOCK = LinkSettings(data_path="stock")
IMPOSTOR = Identity(SEEDS[7])


async def page_link(page: Node, node: Node, *, claimed: Identity | None = None) -> Link:
    """The link that a page has; `claimed`: whose name it offers under, in place of its own."""
    attempt = LinkAttempt(page.pool._parts, node.peer_id, outgoing=True)
    described = replace(attempt.describe(DtlsRole.ACTPASS), features=0, sctp_init=b"")
    key = (claimed or page.identity).public_key
    answer = await node.pool.answer(offer_of(key, bytes(16), described), of_page=True)
    try:
        return await attempt.finish(
            peer_key=node.identity.public_key,
            offer_id=bytes(16),
            offer=described,
            answer=answer,
            signaled_via=(),
        )
    except ModswarmError:
        await attempt.abandon()
        raise


async def test_a_page_links_and_its_link_has_no_restart() -> None:
    network = Network()
    node, page = await network.add(), await network.add(STOCK)
    link = await page_link(page, node)
    try:
        await until(lambda: node.announced)
        link.send(frame_of(b"of the page"))
        await until(lambda: node.received == [b"of the page"])
        (theirs,) = node.pool.links()
        assert theirs.peer_id == page.peer_id
        assert len(node.pool._parts.restarts) == 0
    finally:
        await link.close()
        await network.close()


async def test_a_page_that_offers_under_anothers_name_gets_no_link() -> None:
    network = Network()
    node, page = await network.add(), await network.add(STOCK)
    with pytest.raises(LinkFailed):
        await page_link(page, node, claimed=IMPOSTOR)
    await until(lambda: not node.pool.answering, 20.0)
    assert node.announced == []
    assert node.pool.links() == []
    assert node.pool.counts["opened_incoming"] == 0
    await network.close()


async def test_pages_that_go_no_further_take_few_places_and_none_of_peers() -> None:
    network = Network()
    node, page, peer = await network.add(), await network.add(STOCK), await network.add()
    attempt = LinkAttempt(page.pool._parts, node.peer_id, outgoing=True)
    described = replace(attempt.describe(DtlsRole.ACTPASS), features=0, sctp_init=b"")
    keys = [Identity(bytes([number]) * 32).public_key for number in range(1, 101)]

    async def offer(key: bytes) -> None:
        await node.pool.answer(offer_of(key, bytes(16), described), of_page=True)

    began_at = asyncio.get_running_loop().time()
    for key in keys[: limits.PAGE_ATTEMPTS]:
        await offer(key)
    for key in keys[limits.PAGE_ATTEMPTS :]:
        with pytest.raises(Busy) as refused:
            await offer(key)
        assert 0 < refused.value.retry_after_s <= node.pool._settings.connect_timeout_s
    assert len(node.pool.answering) == limits.PAGE_ATTEMPTS
    await peer.pool.connect(node.peer_id)
    await offer(keys[0])  # the page that has a place may offer anew
    await until(lambda: not node.pool.answering, 60.0)
    assert asyncio.get_running_loop().time() - began_at < 20.0
    await offer(keys[-1])
    await attempt.abandon()
    await network.close()
