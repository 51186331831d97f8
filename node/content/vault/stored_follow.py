"""What a person follows, as the vault remembers it."""

from dataclasses import dataclass, field
from pathlib import Path

from protocol import codec, limits
from protocol.errors import Malformed

_ITEMS = 16
_STATE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class StoredFollow:
    """A lineage that a folder is kept current with."""

    lineage_key: bytes
    reading_key: bytes = field(repr=False)
    target: Path
    mod_id: bytes | None = None
    """The version that the target has; None until the first one is there."""
    version: int = 0
    name: str = ""
    """That of the mod in that version."""
    disk_bytes: int = 0
    """What that takes of the disk."""
    refuses: bool = False
    """Whether an update is refused where a person changed files, which are else kept beside."""
    max_bytes: int = 0
    """A version that takes more of the disk waits for a person's yes; 0: no such bound."""
    allowed: bytes = b""
    """The mod id of a version that a person said yes to."""
    is_held: bool = False
    """Whether a person went back to an older version, which stays."""
    hints: tuple[str, ...] = ()
    """Peers to ask first, as links name them."""
    origins: tuple[str, ...] = ()
    """HTTP servers that the link named."""

    def packed(self) -> bytes:
        """What has no column of its own."""
        return codec.encode(
            [
                *(1, self.version, self.name, self.disk_bytes, self.refuses, self.max_bytes),
                *(self.allowed, self.is_held, list(self.hints), list(self.origins)),
            ]
        )

    @classmethod
    def unpacked(
        cls, lineage_key: bytes, reading_key: bytes, target: str, mod_id: bytes | None, state: bytes
    ) -> "StoredFollow":
        """What `packed` made; raises Malformed."""
        value = codec.decode_canonical(state, max_bytes=_STATE_BYTES, max_items=_ITEMS)
        form, *settings, hints, origins = codec.shape(
            value, int, int, str, int, bool, int, bytes, bool, list, list
        )
        if form != 1:
            raise Malformed(f"what is followed in the form {form}")
        codec.list_of(hints, str, max_items=limits.HINTS)
        codec.list_of(origins, str, max_items=limits.ORIGINS_NAMED)
        place = Path(target)
        settings += [tuple(hints), tuple(origins)]
        return cls(lineage_key, reading_key, place, mod_id, *settings)
