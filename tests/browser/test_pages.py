"""A page in Chromium links with a node by the control API, and moves bytes, also by our TURN."""

import asyncio
import hashlib
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocol import limits
from protocol.identity import Identity, peer_id_text
from tests.browser.foreign import MISSING
from tests.browser.page_node import pattern, scene
from tests.identities import SEEDS
from tests.node.relay.real_relay import SECRET, real_relay

pytestmark = [
    pytest.mark.real_loop,
    pytest.mark.skipif(bool(MISSING["chromium"]), reason=f"{MISSING['chromium']}"),
]

LIMIT_S = 90.0
SIZE = 10_000_000


@pytest.mark.parametrize("hidden", [False, True], ids=["addresses", "names"])
async def test_ten_megabytes_move_both_ways(tmp_path: Path, hidden: bool) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path, hidden=hidden) as stage:
        told = await stage.do("moved", size=SIZE)
        digest = hashlib.sha256(pattern(SIZE)).hexdigest()
        assert told["up"]["digest"] == stage.mover.digest == digest
        assert told["down"]["digest"] == digest
        link = await stage.mover.the_link()
        assert link.peer_id == Identity(SEEDS[9]).peer_id
        assert told["local"] in {"host", "prflx"}
    _report("direct", told)


async def test_ten_megabytes_move_both_ways_through_our_turn(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S), real_relay() as relay:
        settings: dict[str, Any] = {
            "page_relays": (str(relay.address),),
            "page_relay_secret": SECRET,
        }
        async with scene(tmp_path, **settings) as stage:
            told = await stage.do("relayedMoved", size=SIZE)
            digest = hashlib.sha256(pattern(SIZE)).hexdigest()
            assert told["up"]["digest"] == stage.mover.digest == digest
            assert told["down"]["digest"] == digest
            assert told["local"] == "relay"
            assert relay.service.bytes_today > 2 * SIZE
    _report("through TURN", told)


async def test_a_page_asks_what_a_node_holds(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        (tmp_path / "hats").mkdir()
        (tmp_path / "hats" / "red.txt").write_text("red" * 1000)
        shared = await stage.node.sharing.share(tmp_path / "hats", None, lambda _: None)
        told = await stage.do("held", modId=shared.mod_id.hex())
        assert told["nothing"] is None
        assert told["held"]["complete"] is True
        assert told["manifest"] == shared.mod_id.hex()


async def test_a_page_keeps_its_own_identity_and_no_script_reads_it(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        told = await stage.do("kept")
        assert told["first"] == told["again"] == peer_id_text(Identity(SEEDS[9]).peer_id)
        assert told["read"] == ["InvalidAccessError"] * 2


async def test_a_page_gets_a_chunk_by_its_number(tmp_path: Path) -> None:
    size = limits.FINE_RUN_BYTES + 1  # so that chunks are longer than a message
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        (tmp_path / "hats").mkdir()
        (tmp_path / "hats" / "noise").write_bytes(Random(1).randbytes(size))
        shared = await stage.node.sharing.share(tmp_path / "hats", None, lambda _: None)
        held = await stage.node._vault.get_chunks(shared.mod_id, range(24))
        sealed = {number: one for number, one in enumerate(held or ()) if one is not None}
        longest = max(sealed, key=lambda number: len(sealed[number]))
        assert len(sealed[longest]) > 2 * limits.MESSAGE_BYTES, "three pieces at least"
        mod_id = shared.mod_id.hex()
        for number in (0, longest):
            size = len(sealed[number])
            told = await stage.do("chunk", modId=mod_id, number=number, size=size)
            assert told == sealed[number].hex()
        told = await stage.do("chunk", modId=mod_id, number=1000, size=1)
        assert told == "the node does not hold this chunk"
        told = await stage.do("chunk", modId=bytes(32).hex(), number=0, size=1)
        assert told == "the node does not hold this mod"


async def test_a_page_makes_an_identity_of_the_first_key_that_cost_enough(tmp_path: Path) -> None:
    seeds = [bytes([7] * 32)] * 256 + [SEEDS[9], SEEDS[8]]
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        told = await stage.do("created", seeds=[seed.hex() for seed in seeds])
        assert told["peerId"] == peer_id_text(Identity(SEEDS[9]).peer_id)
        assert told["tries"] == [256]
        assert told["left"] == 1
        assert told["read"] == ["InvalidAccessError"] * 2
        link = await stage.mover.the_link()
        assert link.peer_id == Identity(SEEDS[9]).peer_id


def _report(way: str, told: dict[str, dict[str, float]]) -> None:
    rates = {name: SIZE / told[name]["seconds"] / 1e6 for name in ("up", "down")}
    sys.stdout.write(f"{way}: {rates['up']:.1f} MB/s up, {rates['down']:.1f} MB/s down\n")
