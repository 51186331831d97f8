"""What one peer reads of the vault: by turns with other peers, after the owner's own jobs."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from node.content.vault.holdings import Held
from node.content.vault.jobs import VaultJobs
from node.content.vault.store import Store

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class PeerReads:
    """The vault as one peer may use it; `name` is the peer's."""

    def __init__(self, store: Store, jobs: VaultJobs, name: str, wall: Callable[[], float]) -> None:
        self._store = store
        self._jobs = jobs
        self._name = name
        self._wall = wall

    async def held(self, mod_id: bytes) -> Held | None:
        """What can be served of a mod; None if nothing can."""
        return await self._run(self._store.held, mod_id)

    async def manifest_part(self, mod_id: bytes, offset: int, length: int) -> bytes | None:
        """Some of a manifest's bytes; None if the vault lacks them."""
        now = asyncio.get_running_loop().time()
        return await self._run(self._store.manifest_part, mod_id, offset, length, now)

    async def chunks(
        self, mod_id: bytes, chunks: Sequence[int], enough_bytes: int
    ) -> list[bytes | None] | None:
        """The first of a mod's chunks by these numbers, one at least, until they are enough.

        None for each that is missing, and for an unknown mod.
        """
        now, wall = asyncio.get_running_loop().time(), self._wall()
        serve = partial(self._store.serve_chunks, self._name, mod_id, chunks)
        return await self._run(serve, enough_bytes, now, wall)

    async def _run(
        self,
        job: Callable[_Arguments, _Result],
        *arguments: _Arguments.args,
        **keywords: _Arguments.kwargs,
    ) -> _Result:
        return await self._jobs.run(self._name, partial(job, *arguments, **keywords))
