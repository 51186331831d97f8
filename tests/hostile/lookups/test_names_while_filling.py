"""What answers name while tables are filled: names that are dead keep no others out."""

import asyncio
import random
from types import SimpleNamespace
from typing import Any

from node.overlay.table.bucket_fill import BucketFill
from node.overlay.table.tables import V4, Tables
from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Found
from tests.hostile.lookups.far_contacts import far_contact

K = 4
SILENT_S = 1.5


class Overlay:
    """Its honest contacts answer, and name one another; all else is silent."""

    def __init__(self, honest: list[Contact], tables: Tables) -> None:
        self.honest = honest
        self.met: list[Contact] = []
        self.maintenance = SimpleNamespace(
            valid=lambda named: named, meet=lambda one: asyncio.ensure_future(self._meet(one))
        )
        self.wire = SimpleNamespace(timeout_s=lambda _: SILENT_S)
        self._tables = tables

    async def _meet(self, contact: Contact) -> bool:
        self.met.append(contact)
        if contact not in self.honest:
            await asyncio.sleep(SILENT_S)
            return False
        self._tables.of(contact).answered(contact, 0.0)
        return True

    async def call_find_node(self, *_: object) -> Found:
        """All of the honest ones."""
        return Found(list(self.honest), [], 0, b"")


async def test_names_of_dead_contacts_that_came_first_leave_room_for_others() -> None:
    tables = Tables(bytes(20), k=K)
    honest = [far_contact(number, f"5.{number}.5.5") for number in range(1, K + 1)]
    overlay: Any = Overlay(honest, tables)
    source = honest[0]
    tables.of(source).answered(source, 0.0)
    introductions: Any = SimpleNamespace(
        pays=lambda *_: True, answered=lambda *_: None, hear=lambda *_: None
    )
    fill = BucketFill(overlay, tables, random.Random(1), V4, introductions)
    dead = [far_contact(100, f"9.{number}.9.9") for number in range(2 * limits.NAMES_PER_BUCKET)]
    fill.hear(source, Found(dead, [], 0, b""))
    began = asyncio.get_running_loop().time()
    near = [Contact.at(bytes(31) + b"\1", Address("7.7.7.7", 4001))] * (K - 1)
    await fill.fill([*near, far_contact(7, "5.77.5.5")])
    assert set(honest) == {entry.contact for entry in tables.entries()}
    assert len(overlay.met) == limits.NAMES_PER_BUCKET + K - 1
    waves = -(-limits.NAMES_PER_BUCKET // (K - 1))
    assert asyncio.get_running_loop().time() - began <= waves * SILENT_S
