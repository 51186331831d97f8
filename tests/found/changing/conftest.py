"""Whole nodes in virtual time whose machines die, move and sleep while a download runs."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

from node.answers.mods import GetResult
from node.content.progress import Progress
from protocol import limits
from protocol.content.link import ModLink
from simulations.internet import Access
from simulations.residents.whole import WholeResident
from tests.simulations.mods_shared import share
from tests.simulations.pair_world import Town, pair_world

PUBLICS = 6
UP_BYTES_S = 500_000.0
MOD_BYTES = 4_000_000
"""What a holder sends in eight seconds."""
MIDWAY_S = 3.0


class Getting:
    """A `get` under way, and what it told."""

    def __init__(
        self,
        person: WholeResident,
        link: ModLink,
        target: Path,
        wait_s: float = limits.GET_WAIT_S,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self.told: list[tuple[float, Progress]] = []
        with person.host.running():
            self.task = person.host.create_task(
                person.running_node.sharing.get(link, target, progress=self._note, wait_s=wait_s)
            )

    def _note(self, progress: Progress) -> None:
        self.told.append((self._loop.time() - self._started, progress))

    async def result(self) -> tuple[GetResult, float]:
        """What it fetched, and its seconds."""
        return await self.task, self._loop.time() - self._started

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return self._loop.time() - self._started

    @property
    def waits(self) -> list[Progress]:
        """What it told while it waited."""
        return [progress for _, progress in self.told if progress.stage == "waiting"]

    @property
    def bytes_done(self) -> int:
        """What the vault had by the last word."""
        return max((progress.bytes_done for _, progress in self.told), default=0)


def set_line(town: Town, person: WholeResident, up_bytes_s: float = UP_BYTES_S) -> None:
    """Give a person a line on which the mod takes some seconds."""
    town.world.internet.set_access(person.host.behind or person.host, Access(up_bytes_s, None))


@contextlib.asynccontextmanager
async def shared_mod(
    folder: Path, *sites: str, seed: int = 1
) -> AsyncIterator[tuple[Town, list[WholeResident], ModLink]]:
    """People, of whom the last one shares a mod over a slow line, and its link."""
    async with pair_world(folder, publics=PUBLICS, seed=seed) as town:
        people = list(await town.settled(*sites))
        data = random.Random(seed).randbytes(MOD_BYTES)
        link = await share(people[-1], folder / "shared", data)
        set_line(town, people[-1])
        await asyncio.sleep(5.0)
        yield town, people, link
