"""What stands in for `Sharing.get`, where a queue has none that fetches over a network."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.answers.mods import GetResult
from node.content.download.bounds import SizeBound
from node.content.progress import ReportProgress
from protocol.content.link import ModLink


@dataclass(frozen=True, slots=True)
class Asked:
    """What a queue asks for."""

    link: ModLink
    target: Path | None
    into: Path | None
    progress: ReportProgress
    bound: SizeBound
    wait_s: float
    weight: Callable[[], int]
    again: bool

    def result(self, **told: Any) -> GetResult:
        """A result, with these fields of it."""
        place = self.target or self.into
        plain = GetResult(
            mod_id=self.link.mod_id,
            name="mod",
            path=str(place),
            files=1,
            bytes=10,
            bytes_fetched=10,
            seconds=1.0,
            lookup_ms=0.0,
            connect_ms=0.0,
            first_byte_ms=None,
            transfer_MBps=None,
            record_hops=0,
            signaled_via=(),
            sources=(),
            banned=(),
        )
        return replace(plain, **told)


class GetDouble:
    """Its `get` is a queue's `Get`; `fetch` says what comes of it.

    `kept` has the ids of the mods of which the vault is to keep what it has.
    """

    kept: frozenset[bytes] = frozenset()

    def keep(self, mods: Collection[bytes]) -> None:
        """Note what is to stay."""
        self.kept = frozenset(mods)

    async def get(
        self,
        link: ModLink,
        target: Path | None = None,
        *,
        into: Path | None = None,
        progress: ReportProgress,
        bound: SizeBound,
        wait_s: float,
        weight: Callable[[], int],
        again: bool,
    ) -> GetResult:
        """Note what is asked for."""
        asked = Asked(link, target, into, progress, bound, wait_s, weight, again)
        return await self.fetch(asked)

    async def fetch(self, asked: Asked) -> GetResult:
        """Do what a test wants to happen."""
        raise NotImplementedError
