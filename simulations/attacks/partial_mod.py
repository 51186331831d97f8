"""A mod of very many chunks of which its holder has none: what peers ask of it looks for much."""

import hashlib

from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest as manifests

_SEALED_BYTES = 60_000
_KEYS = LineageKeys(bytes(32), bytes(32))


async def add_partial_mod(vault: Vault, chunks: int) -> bytes:
    """The id of a mod with so many chunks, of which the vault has none."""
    rows = (
        hashlib.sha256(number.to_bytes(4)).digest() + _SEALED_BYTES.to_bytes(4)
        for number in range(chunks)
    )
    data = manifests.sign_manifest(_KEYS, b"".join(rows), bytes(100))
    manifest = manifests.decode_manifest(data)
    mod = StoredMod(
        *(manifest.mod_id, None, "", 0, 0, 0, manifest.sealed_bytes, chunks),
        published=False,
        added=0.0,
    )
    await vault.add_mod(mod, manifest)
    return manifest.mod_id
