"""A mod of very many chunks, without the bytes of any, and counters of what requests cost."""

import hashlib
from collections import Counter

import pytest

from node.content.vault.index import Index
from node.content.vault.jobs import VaultJob, VaultTurns
from node.content.vault.packs import PackPlace, Packs
from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from protocol import codec
from protocol.content import manifest as manifests
from protocol.content import sealing

_SEALED_BYTES = 60_000


async def add_big_mod(vault: Vault, chunks: int) -> bytes:
    """The id of a mod with so many chunks, of which the vault has none."""
    rows = (
        hashlib.sha256(number.to_bytes(4)).digest() + _SEALED_BYTES.to_bytes(4)
        for number in range(chunks)
    )
    data = codec.encode([manifests.MANIFEST_VERSION, b"".join(rows), bytes(100)])
    manifest = manifests.decode_manifest(data)
    mod = StoredMod(
        *(manifest.mod_id, None, "", "", 0, 0, manifest.sealed_bytes, chunks),
        published=False,
        added=0.0,
    )
    await vault.add_mod(mod, manifest)
    return manifest.mod_id


class VaultWork:
    """What the vault does: `jobs` of peers, `rows` of the index, bytes `hashed` and `read`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: Counter[str] = Counter()
        add, read, address_of = VaultTurns.add, Packs.read, sealing.address_of
        one, every = Index._one, Index._all

        def counting_add(turns: VaultTurns, who: str, job: VaultJob) -> None:
            self.done["jobs"] += bool(who)
            add(turns, who, job)

        def counting_read(packs: Packs, place: PackPlace) -> bytes:
            self.done["read"] += place.length
            return read(packs, place)

        def counting_hash(data: bytes) -> bytes:
            self.done["hashed"] += len(data)
            return address_of(data)

        def counting_one(index: Index, *query: object) -> object:
            self.done["rows"] += 1
            return one(index, *query)  # type: ignore[arg-type]

        def counting_all(index: Index, *query: object) -> object:
            rows = every(index, *query)  # type: ignore[arg-type]
            self.done["rows"] += len(rows)
            return rows

        monkeypatch.setattr(VaultTurns, "add", counting_add)
        monkeypatch.setattr(Packs, "read", counting_read)
        monkeypatch.setattr(sealing, "address_of", counting_hash)
        monkeypatch.setattr(Index, "_one", counting_one)
        monkeypatch.setattr(Index, "_all", counting_all)
