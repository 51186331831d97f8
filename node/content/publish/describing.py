"""The manifest of a folder's next version, which is the newest one again if nothing changed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from node.content.vault.stored_mod import Lineage, StoredMod
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest as manifests
from protocol.content.manifests.contents import Contents, PatchOffer, VersionKeys
from protocol.content.manifests.manifest import Manifest
from protocol.errors import BadManifest, UnknownVersion


@dataclass(frozen=True, slots=True)
class DescribedMod:
    """A version that was made here."""

    manifest: Manifest
    contents: Contents
    keys: VersionKeys

    def stored(self, added: float) -> StoredMod:
        """What the vault records of it; `added` in seconds since 1970."""
        contents = self.contents
        return StoredMod(
            *(self.keys.mod_id, self.keys.content_key, contents.name, contents.version),
            *(len(contents.files), contents.total_bytes),
            *(self.manifest.sealed_bytes, len(self.manifest.addresses)),
            published=True,
            added=added,
            lineage_key=self.manifest.lineage_key,
            patch_of=contents.patch_of,
        )


def describe_next(
    contents: Contents,
    chunks: Iterable[tuple[bytes, int]],
    lineage: Lineage,
    keys: LineageKeys,
    newest: bytes | None,
) -> DescribedMod:
    """What `contents` are as a version of a lineage; raises BadManifest.

    They are the newest version itself if they do not differ from it but by times. `newest` is its
    manifest; without that it can be told only if the times are the same too.
    """
    chunks = tuple(chunks)
    head = lineage.head
    if head is not None:
        known = opened_version(newest, head)
        if known is not None and _same_files(contents, known.contents):
            return known
        again = _made(contents, chunks, keys, lineage.version, lineage.previous)
        if again.keys == head:
            return again
    return _made(contents, chunks, keys, lineage.version + 1, head)


def _made(
    contents: Contents,
    chunks: Iterable[tuple[bytes, int]],
    keys: LineageKeys,
    version: int,
    previous: VersionKeys | None,
) -> DescribedMod:
    contents = replace(contents, version=version, previous=previous)
    made, content_key = manifests.build_manifest(contents, chunks, keys)
    return DescribedMod(made, contents, VersionKeys(made.mod_id, content_key))


def with_patch(made: DescribedMod, patch: DescribedMod, keys: LineageKeys) -> DescribedMod:
    """The same version, which names a patch that leads to it; raises BadManifest."""
    base = patch.contents.patch_of
    assert base is not None
    offer = PatchOffer(base, patch.keys, patch.manifest.sealed_bytes)
    contents, manifest = replace(made.contents, patches=(offer,)), made.manifest
    chunks = zip(manifest.addresses, manifest.sealed_lengths, strict=True)
    return _made(contents, chunks, keys, contents.version, contents.previous)


def opened_version(data: bytes | None, keys: VersionKeys) -> DescribedMod | None:
    """A version by its manifest; None where that is not here, or is of an earlier form."""
    if data is None:
        return None
    try:
        manifest = manifests.decode_manifest(data)
        return DescribedMod(manifest, manifests.open_contents(manifest, keys.content_key), keys)
    except (BadManifest, UnknownVersion):
        return None  # of an earlier form


def _same_files(one: Contents, other: Contents) -> bool:
    """Whether a person would call these the same: by names, bytes and executable flags."""

    def told(contents: Contents) -> tuple[object, ...]:
        files = [(file.path, file.sha256, file.executable) for file in contents.files]
        return contents.name, files, contents.empty_folders

    return told(one) == told(other)
