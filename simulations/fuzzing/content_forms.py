"""What links carry about mods, and texts that a person types or pastes."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace

from protocol import addresses, codec, identity, limits
from protocol.content import file_paths, frames, link, sealing
from protocol.content.containers.member_cuts import member_cuts
from protocol.content.lineage.frames import (
    FollowFrame,
    NewsFrame,
    decode_lineage_frame,
    encode_lineage_frame,
)
from protocol.content.lineage.keys import LineageKeys
from protocol.content.link import ModLink
from protocol.content.manifests import manifest
from protocol.content.manifests.checks import check_contents
from protocol.content.manifests.contents import (
    Contents,
    ModFile,
    PatchOffer,
    VersionKeys,
    decode_contents,
    encode_contents,
)
from protocol.content.patching.frame import PatchFrame, Prefix, Rebuilding
from protocol.content.patching.part import PatchPart, PatchReader, encode_head, numbers_of
from protocol.errors import BadInput
from protocol.identity import PeerId
from protocol.overlay.bootstrap import Bootstrap
from protocol.records import PROVIDER, ProviderBody, claim_of, make
from protocol.texts.links import link_in
from protocol.texts.peers import peer_id_in
from simulations.fuzzing.target import OURS, Target

_CONTENTS = Contents(
    "A mod",
    1,
    (ModFile("a/b.txt", 150), ModFile("a/c", 0, executable=True), ModFile("b", 150)),
    (b"\1" * 32, b"\2" * 32),
    (100, 100),
    (0, 1, 0),
)
_VERSION = VersionKeys(b"\1" * 32, b"\2" * 32)
_OFFER = PatchOffer(b"\3" * 32, _VERSION, 999)
_CHUNKS = [(b"\3" * 32, 117), (b"\4" * 32, 60)]
_MANIFEST, _CONTENT_KEY = manifest.build_manifest(
    _CONTENTS, _CHUNKS, LineageKeys(b"\7" * 32, b"\5" * 32)
)

_PROVIDED = make(OURS, PROVIDER, ProviderBody(bytes(32), complete=True), now=1, sequence=1)


def _read_manifest(data: bytes) -> object:
    return manifest.open_contents(manifest.decode_manifest(data), _CONTENT_KEY)


def _read_contents(data: bytes) -> object:
    """The sealed part of a manifest: a publisher may seal any bytes."""
    contents = decode_contents(io.BytesIO(data))
    check_contents(contents, _MANIFEST.sealed_lengths)
    return contents


def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in ("a", "b"):
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=name == "b") as member:
                member.write(bytes(50))
    return made.getvalue()


def _cut_zip(data: bytes) -> object:
    return member_cuts(lambda at, size: data[at : at + size], len(data), 20)


def _drained(source: codec.Readable) -> bytes:
    data = b""
    while part := source.read(100):
        data += part
    return data


_BASE_CHUNKS = (bytes(range(100)), b"text " * 30)
_YIELDED = (_BASE_CHUNKS[0] + b"!", b"more " + _BASE_CHUNKS[1])


def _some_patch() -> bytes:
    frame = PatchFrame(Prefix(b"".join(_BASE_CHUNKS)), sum(map(len, _YIELDED)), 3)
    made = b"".join([*map(frame.add, _YIELDED), frame.end()])
    return encode_head(PatchPart(((0, 2),), ((1, 2),), len(made))) + made


def _read_patch(data: bytes) -> object:
    """All that a patch yields, of a base and a version of a few short chunks."""
    lengths = [7, *map(len, _YIELDED), 9]
    reader = PatchReader([len(chunk) for chunk in _BASE_CHUNKS], lengths)
    rebuilding: Rebuilding | None = None
    yielded: list[bytes] = []
    for one in reader.feed(data):
        if isinstance(one, PatchPart):
            if rebuilding is not None:
                rebuilding.end()
            prefix = b"".join(_BASE_CHUNKS[number] for number in numbers_of(one.base))
            wanted = [lengths[number] for number in numbers_of(one.chunks)]
            rebuilding = Rebuilding(Prefix(prefix), wanted)
        elif rebuilding is not None:
            yielded += rebuilding.feed(one)
    reader.end()
    if rebuilding is not None:
        rebuilding.end()
    return yielded


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "replace"))


CONTENT_FORMS = {
    "frame": Target(
        frames.decode_frame,
        (
            frames.encode_frame(frames.GetChunks(1, (1, 2, 3))),
            frames.encode_frame(frames.Opened(1, 5000, complete=True)),
            frames.encode_frame(frames.Have(1, 8, b"\xff")),
            frames.encode_frame(frames.Peers(1, (PeerId(bytes(20)), PeerId(b"\1" * 20)))),
        ),
    ),
    "lineage frame": Target(
        decode_lineage_frame,
        (
            encode_lineage_frame(FollowFrame((bytes(20), b"\1" * 20))),
            encode_lineage_frame(NewsFrame(bytes(300))),
        ),
    ),
    "record claim": Target(claim_of, (_PROVIDED.raw,)),
    "manifest": Target(_read_manifest, (_MANIFEST.data,)),
    "manifest contents": Target(
        _read_contents,
        (
            encode_contents(_CONTENTS),
            encode_contents(replace(_CONTENTS, empty_folders=("a/d", "c/d"), patches=(_OFFER,))),
            encode_contents(replace(_CONTENTS, previous=_VERSION, patch_of=bytes(32))),
        ),
    ),
    "zip": Target(_cut_zip, (_zip(),)),
    "chunk body": Target(
        lambda data: sealing.unpack_body(data, limits.CHUNK_BYTES_MAX),
        (b"\0raw", sealing.Packer().pack(bytes(1000))),
    ),
    "chunk body in pieces": Target(
        lambda data: _drained(sealing.Unpacking(data, limits.CHUNK_BYTES_MAX)),
        (b"\0raw", sealing.Packer().pack(bytes(1000))),
    ),
    "patch": Target(_read_patch, (_some_patch(),)),
    "path": Target(_text(file_paths.check_path), (b"a/b.txt",), BadInput),
    "link": Target(_text(link.parse), (str(ModLink(bytes(32), bytes(32))).encode(),), BadInput),
    "peer id": Target(
        _text(identity.parse_peer_id), (identity.peer_id_text(OURS.peer_id).encode(),), BadInput
    ),
    "pasted link": Target(
        _text(link_in), (f"<modswarm:%2523{ModLink(bytes(32), bytes(32))}>".encode(),), BadInput
    ),
    "pasted peer id": Target(
        _text(peer_id_in), (f"> '{identity.peer_id_text(OURS.peer_id)}'.".encode(),), BadInput
    ),
    "host and port": Target(_text(addresses.split_host_port), (b"[::1]:4001",), BadInput),
    "bootstrap": Target(_text(Bootstrap.parse), (b"host.example:4001",), BadInput),
}
