"""Nodes that consist of their content rooms only, and folders to share."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

from node.content.assemble.assembler import Assembler
from node.content.assemble.claims import TargetClaims
from node.content.download.bounds import SizeBound
from node.content.download.downloader import Downloader, DownloadResult
from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMods
from node.content.ports import LinkPort
from node.content.progress import ReportProgress, ignore_progress
from node.content.publish.own_lineages import OwnLineages
from node.content.publish.publisher import Publisher
from node.content.rates.transfers import Direction
from node.content.serve.exchange import Exchanges
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol.content.link import ModLink
from protocol.identity import Identity, PeerId, peer_id_text
from protocol.places.usefulness import Usefulness
from tests.node.content.memory_links import MemoryLink, memory_link

FindLinks = Callable[[bytes], AsyncIterator[LinkPort]]
"""Yields links to holders of a mod, by its id, as they are found."""

AGREED = SizeBound(10**12, agreed=True)
"""A person agrees to what tests share, of any size."""


class Unwatched:
    """A SourceWatch that nothing follows from."""

    def opened(self, peer_id: bytes, give_way: Callable[[], None]) -> None:
        """A download asks this peer."""

    def heard(self, peer_id: bytes, size: int) -> None:
        """Bytes came of it."""

    def proved(self, peer_id: bytes, size: int) -> None:
        """A chunk that it sent was what was asked for."""

    def named(self, peer_id: bytes, peers: Sequence[PeerId]) -> None:
        """It names other holders."""

    def left(self, peer_id: bytes, *, for_good: bool = False) -> bool:
        """The link was there before the download."""
        return False


def lineages_of(vault: Vault, environment: Environment, number: int = 1) -> OwnLineages:
    """Those of an identity that solves no puzzle."""
    return OwnLineages(vault, environment, Identity(bytes([number]) * 32), 0)


class Hold:
    """One of a link, which is in `holds` while it stands."""

    def __init__(self, holds: "list[Hold]", peer_id: PeerId) -> None:
        self.peer_id = peer_id
        self._holds = holds
        holds.append(self)

    def close(self) -> None:
        if self in self._holds:
            self._holds.remove(self)


class ContentNode:
    """A vault and all that works on it."""

    def __init__(self, number: int, vault: Vault, environment: Environment) -> None:
        self.peer_id = bytes([number]) * 20
        self.name = peer_id_text(self.peer_id)
        self.vault = vault
        self.expected_defects: list[BaseException] = []
        self.up, self.down = Direction(), Direction()
        self.holds: list[Hold] = []
        self.exchanges = Exchanges(
            *(vault, Usefulness(), environment.rng, partial(Hold, self.holds)), self.up
        )
        guard = HomeGuard(vault.folder)
        self.publisher = Publisher(
            vault, environment, guard, lineages_of(vault, environment, number)
        )
        self.opened = OpenedMods()
        self.downloader = Downloader(vault, environment, self.opened, downlink=self.down.rate)
        self.claims = TargetClaims()
        self.assembler = Assembler(vault, guard, self.opened, self.claims)

    def connect(self, other: "ContentNode") -> tuple[MemoryLink, MemoryLink]:
        """A link on which both ends serve; our end, and the other's."""
        ours, theirs = memory_link(self.peer_id, other.peer_id)
        self.exchanges.attach(ours)
        other.exchanges.attach(theirs)
        return ours, theirs

    async def download(
        self, link: ModLink, find_links: FindLinks, report: ReportProgress = ignore_progress
    ) -> DownloadResult:
        """Fetch a mod from the peers at the other ends of links."""
        return await self.downloader.download(
            link, lambda mod_id: self.exchanges.sources(find_links(mod_id), Unwatched()), report
        )


@contextlib.asynccontextmanager
async def content_node(folder: Path, number: int = 1) -> AsyncIterator[ContentNode]:
    """A node whose vault is in `folder`."""
    vault = await Vault.open(folder / "vault")
    node = ContentNode(
        number, vault, Environment(wall=lambda: 1.7e9, rng=random.Random(number), file_times=False)
    )
    try:
        yield node
    finally:
        node.opened.close()
        await node.exchanges.close()
        assert not node.holds
        assert node.exchanges.defects == node.expected_defects
        await vault.close()


@contextlib.asynccontextmanager
async def content_nodes(folder: Path, count: int) -> AsyncIterator[list[ContentNode]]:
    """Several nodes, each with its own vault."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(content_node(folder / f"node{number}", number))
            for number in range(1, count + 1)
        ]


def links_to(*links: LinkPort, forever: bool = False) -> FindLinks:
    """A search that finds these links at once; it then ends, or goes on for ever."""

    async def find(_: bytes) -> AsyncIterator[LinkPort]:
        for link in links:
            yield link
        if forever:
            await asyncio.get_running_loop().create_future()

    return find


def links_one_by_one(*links: LinkPort, pause_s: float = 0.02) -> FindLinks:
    """A search that finds each of these a moment after the one before."""

    async def find(_: bytes) -> AsyncIterator[LinkPort]:
        for link in links:
            yield link
            await asyncio.sleep(pause_s)

    return find


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Let everything else run until something has come true, for so long at most."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "it never came true"
        await asyncio.sleep(0.001)


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def some_files(
    seed: int = 1, sizes: Sequence[int] = (0, 1, 100, 70_000, 300_000)
) -> dict[str, bytes]:
    """Files of these sizes, of random bytes."""
    rng = random.Random(seed)
    return {
        f"part{place % 3}/file{place:04}.bin": rng.randbytes(n) for place, n in enumerate(sizes)
    }


def open_files(*starts: str) -> list[str]:
    """The paths that begin so, and that this process has open, on Linux."""
    found = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.append(str(descriptor.readlink()))
    return [path for path in found if path.startswith(starts)]
