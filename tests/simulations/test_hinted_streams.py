"""What a node without UDP gets by the hints of a link, where none that it knows is there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from node.home import Home
from protocol import limits
from protocol.addresses import Address
from protocol.content.link import ModLink
from protocol.errors import NetworkError
from protocol.identity import Identity, peer_id_text
from protocol.overlay.contacts import Contact
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES, Site
from simulations.residents.whole import WholeResident
from simulations.residents.world import PORT
from tests.simulations.pair_world import Town, pair_world, until

FIRST_TRY_S = 20.0


@dataclass
class Scene:
    """A mod that one public node shares, and a blocked node that knows dead nodes alone."""

    town: Town
    getter: WholeResident
    link: ModLink

    def hint(self, number: int, host: str = "", who: Identity | None = None) -> str:
        """A public node's address and peer id, or others."""
        node = self.town.publics[number]
        peer_id = peer_id_text((who or node.identity).peer_id)
        return f"{host or node.host.addresses[0]}:{PORT}/{peer_id}"

    async def get(self, target: Path, *hints: str) -> bytes:
        link = replace(self.link, hints=hints)
        with self.getter.host.running():
            await self.getter.running_node.sharing.get(link, target)
        return (target / "file").read_bytes()

    def tried(self) -> str:
        return " ".join(self.getter.running_node.status().streams.failures)


@contextlib.asynccontextmanager
async def scene(folder: Path, *, dead: int = 1) -> AsyncIterator[Scene]:
    async with pair_world(folder, publics=4, streams=True) as town:
        sharer = town.publics[0]
        shared = folder / "mod"
        shared.mkdir()
        (shared / "file").write_bytes(b"shared")
        with sharer.host.running():
            link = (await sharer.running_node.sharing.share(shared)).link
        (box,) = SITES["blocked"].boxes
        getter = move_in(town.world, Site((replace(box, tcp_ports=frozenset({443, PORT})),)))
        home = Home.open(getter.home)
        home.save_contacts(
            [
                Contact.at(Identity(bytes([n]) * 32).public_key, Address(f"77.{n}.0.1", PORT))
                for n in range(1, dead + 1)
            ]
        )
        home.close()
        await asyncio.sleep(60.0)
        await getter.start()
        yield Scene(town, getter, link)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "long after the start"])
@pytest.mark.parametrize("dead", [1, 12])
async def test_a_blocked_node_gets_a_mod_by_the_hint_of_its_link(
    tmp_path: Path, dead: int, *, late: bool
) -> None:
    async with scene(tmp_path, dead=dead) as one:
        if late:
            await asyncio.sleep(FIRST_TRY_S)
            with pytest.raises(NetworkError):
                await one.get(tmp_path / "no")
        assert await one.get(tmp_path / "out", one.hint(1)) == b"shared"
        kept = one.getter.running.streams.kept
        assert one.town.publics[1].identity.peer_id in {stream.peer_id for stream in kept}
        assert one.getter.running.hinted.all() == []


async def test_no_hint_is_dialled_that_may_lead_astray(tmp_path: Path) -> None:
    """A hint without a peer id, one that names another peer, and addresses of private networks."""
    async with scene(tmp_path) as one:
        address = one.hint(1).partition("/")[0]
        stranger = one.hint(2, who=Identity(bytes([99]) * 32))
        for hints in ([address], [stranger], [one.hint(1, "10.0.0.9"), one.hint(2, "127.0.0.1")]):
            with pytest.raises(NetworkError):
                await one.get(tmp_path / "out", *hints)
        assert one.getter.running.streams.kept == ()
        assert not one.getter.running.joined.is_set()
        assert address not in one.tried()
        assert "10.0.0.9" not in one.tried()
        assert "127.0.0.1" not in one.tried()
        assert "which is another peer" in one.tried()


async def test_a_node_that_has_a_stream_dials_no_hint(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        assert await one.get(tmp_path / "out", one.hint(1)) == b"shared"
        nowhere = one.hint(2, "77.9.9.9", Identity(bytes([99]) * 32))
        with one.getter.running.hinted.of([nowhere]):
            streams = one.getter.running.streams
            await until(lambda: len(streams.kept) == limits.STREAM_GATEWAYS, 120.0)
            streams.kept[-1].port.close()
            await asyncio.sleep(3 * limits.STREAM_RETRY_S[1])
        assert "77.9.9.9" not in one.tried()


async def test_of_the_hinted_one_is_kept(tmp_path: Path) -> None:
    """The other place is for a node that no link's maker chose."""
    async with scene(tmp_path) as one:
        running = one.getter.running
        with running.hinted.of([one.hint(1), one.hint(2), one.hint(3)]):
            await until(lambda: running.streams.kept)
            await asyncio.sleep(0.05)
            assert len(running.own_streams) == 1


async def test_hints_are_few_however_many_fetches_name_some(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        hinted = one.getter.running.hinted
        with contextlib.ExitStack() as fetches:
            for number in range(200):
                fetches.enter_context(
                    hinted.of([one.hint(1, f"77.8.{number}.{n}") for n in range(limits.HINTS)])
                )
                assert len(hinted.all()) == limits.STREAM_HINTED
                assert hinted.all()[0].host == f"77.8.{number}.0", "the latest first"
        assert hinted.all() == []
