"""Whether this node knows any contact, as a condition to wait for."""

import asyncio
from collections.abc import Sized


class Connectivity:
    """Wakes waiting tasks when the tables get their first contact, or lose their last."""

    def __init__(self, tables: Sized) -> None:
        self._tables = tables
        self._present = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()

    def changed(self) -> None:
        """A contact came or went."""
        present, absent = self._present, self._gone
        if not len(self._tables):
            present, absent = absent, present
        if not present.is_set():
            present.set()
            absent.clear()

    async def present(self) -> None:
        """Wait until a contact is known."""
        await self._present.wait()

    async def gone(self) -> None:
        """Wait until no contact is known."""
        await self._gone.wait()
