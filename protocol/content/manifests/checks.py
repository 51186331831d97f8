"""What a manifest's two parts must be to one another, and what must be safe to write."""

from collections.abc import Sequence
from itertools import pairwise

from protocol import limits
from protocol.content import file_paths, sealing
from protocol.content.manifests.contents import Contents
from protocol.errors import BadManifest, UnsafePath


def check_contents(contents: Contents, sealed_lengths: Sequence[int]) -> None:
    """Raise BadManifest unless the files are safe to write, and their chunks have these lengths."""
    _check_files(contents)
    try:
        file_paths.check_text(contents.name, "the mod's name", limits.MOD_NAME_BYTES)
        file_paths.check_tree((file.path for file in contents.files), contents.empty_folders)
    except UnsafePath as error:
        raise BadManifest(str(error)) from None
    if not contents.name:
        raise BadManifest("the manifest gives its mod no name")
    _check_chunks(contents, sealed_lengths)


def _check_files(contents: Contents) -> None:
    if not 1 <= len(contents.files) <= limits.MANIFEST_FILES:
        raise BadManifest(f"the manifest names {len(contents.files)} files")
    previous = ""
    for file in contents.files:
        if file.path <= previous:
            raise BadManifest(
                f"the file {file_paths.quoted(file.path)} is not in the order of file paths"
            )
        previous = file.path
    if any(one >= other for one, other in pairwise(contents.empty_folders)):
        raise BadManifest("the manifest's empty folders are not in the order of file paths")
    if contents.total_bytes > limits.MOD_BYTES:
        raise BadManifest(f"the manifest's files have more than {limits.MOD_BYTES} bytes")


def _check_chunks(contents: Contents, sealed_lengths: Sequence[int]) -> None:
    count = len(sealed_lengths)
    if len(contents.keys) != count or len(contents.lengths) != count:
        raise BadManifest("the manifest's two parts do not have the same number of chunks")
    for length, sealed_length in zip(contents.lengths, sealed_lengths, strict=True):
        if not 1 <= length <= limits.CHUNK_BYTES_MAX:
            raise BadManifest(f"the manifest has a chunk of {length} bytes")
        if sealed_length > length + sealing.SEAL_OVERHEAD_BYTES:
            raise BadManifest("the manifest has a chunk that grew when it was sealed")
    _check_order(contents.order, count)
    chunk_bytes = sum(contents.lengths[number] for number in contents.order)
    if chunk_bytes != contents.total_bytes:
        raise BadManifest(
            f"the manifest's files have {contents.total_bytes} bytes and its chunks {chunk_bytes}"
        )


def _check_order(order: Sequence[int], count: int) -> None:
    appeared = 0
    for number in order:
        if number > appeared or number >= count:
            raise BadManifest("the manifest's chunks are not numbered by first appearance")
        appeared += number == appeared
    if appeared != count:
        raise BadManifest("the manifest lists a chunk that no file needs")
