"""Counters of what requests cost a vault."""

from collections import Counter

import pytest

from node.content.vault.database import Database
from node.content.vault.jobs import VaultJob, VaultTurns
from node.content.vault.packs import PackPlace, Packs
from protocol.content import sealing


class VaultWork:
    """What the vault does: `jobs` of peers, `rows` of the index, bytes `hashed` and `read`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: Counter[str] = Counter()
        add, read, address_of = VaultTurns.add, Packs.read, sealing.address_of
        one, every = Database.one, Database.all

        def counting_add(turns: VaultTurns, who: str, job: VaultJob) -> None:
            self.done["jobs"] += bool(who)
            add(turns, who, job)

        def counting_read(packs: Packs, place: PackPlace) -> bytes:
            self.done["read"] += place.length
            return read(packs, place)

        def counting_hash(data: bytes) -> bytes:
            self.done["hashed"] += len(data)
            return address_of(data)

        def counting_one(database: Database, *query: object) -> object:
            self.done["rows"] += 1
            return one(database, *query)  # type: ignore[arg-type]

        def counting_all(database: Database, *query: object) -> object:
            rows = every(database, *query)  # type: ignore[arg-type]
            self.done["rows"] += len(rows)
            return rows

        monkeypatch.setattr(VaultTurns, "add", counting_add)
        monkeypatch.setattr(Packs, "read", counting_read)
        monkeypatch.setattr(sealing, "address_of", counting_hash)
        monkeypatch.setattr(Database, "one", counting_one)
        monkeypatch.setattr(Database, "all", counting_all)
