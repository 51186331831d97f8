"""What an update of a target does, written down before anything of the target is touched.

The plan lies beside the target with all that it needs; the vault knows its SHA-256 and a direction.
With the vault's row an update counts as begun: from then on it is carried out, or taken back, by
whichever process comes to it.
"""

import enum
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from node.content.vault.stored_target import WrittenFile, WrittenTree
from protocol import codec, limits
from protocol.content import sealing
from protocol.errors import Malformed

_FIELDS: Final = 9
_TOUCH: Final = struct.Struct(">IqB")
_NO_TIME: Final = -(2**63)
PLAN_BYTES: Final = 4 * limits.MANIFEST_BYTES
"""Files of two versions, and folders that come and go."""


class Heading(enum.Enum):
    """Which way an update that has begun is to go on."""

    FORWARD = b">"
    """To the new version."""
    BACK = b"<"
    """To the version that was there before."""

    def mark(self, plan: bytes) -> bytes:
        """What the vault keeps of a plan that goes this way."""
        return self.value + hashlib.sha256(plan).digest()


class PathStep(NamedTuple):
    """What becomes of one path. `old` and `new` are files of the two versions.

    `old` only: it is taken away. `new` only: it is put there. Both: it is replaced. Neither: what
    is there is the person's, and is given another name. With `old` it is as it was seen there.
    """

    path: str
    old: WrittenFile | None
    new: WrittenFile | None


class Touch(NamedTuple):
    """A file that stays, of which something besides its bytes changes."""

    number: int
    """Among the files of the new version."""
    modified_ns: int | None
    """The time that it gets; None: it keeps its own."""
    set_executable: bool


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """All of an update. Paths are within the target."""

    mod_id: bytes
    """Of the new version."""
    tree: WrittenTree = field(repr=False)
    """All that is there afterwards."""
    steps: tuple[PathStep, ...] = field(repr=False)
    touches: tuple[Touch, ...] = field(repr=False)
    made_folders: tuple[str, ...] = field(repr=False)
    """Those that are not there, each after the one that it is in."""
    gone_folders: tuple[str, ...] = field(repr=False)
    """Those that the new version has no more, each before the one that it is in."""

    def encode(self) -> bytes:
        """The bytes of the plan's file."""
        numbers = {file.path: number for number, file in enumerate(self.tree.files)}
        old = WrittenTree(tuple(step.old for step in self.steps if step.old is not None))
        new = (numbers[step.path] for step in self.steps if step.new is not None)
        kinds = bytes((step.old is not None) + 2 * (step.new is not None) for step in self.steps)
        kept = [step.path for step in self.steps if step.old is None and step.new is None]
        touches = (
            _TOUCH.pack(touch.number, _of_time(touch.modified_ns), touch.set_executable)
            for touch in self.touches
        )
        return sealing.Packer().pack(
            codec.encode_long(
                [
                    self.mod_id,
                    self.tree.packed(),
                    kinds,
                    old.packed(),
                    b"".join(struct.pack(">I", number) for number in new),
                    kept,
                    b"".join(touches),
                    list(self.made_folders),
                    list(self.gone_folders),
                ]
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> "UpdatePlan":
        """What `encode` made; raises Malformed, BadContent."""
        unpacking = sealing.Unpacking(data, PLAN_BYTES)
        fields = codec.FieldReader(unpacking, fields=_FIELDS, max_bytes=PLAN_BYTES)
        mod_id = fields.bytes()
        tree = WrittenTree.of_packed(fields.bytes())
        kinds = fields.bytes()
        old = iter(WrittenTree.of_packed(fields.bytes()).files)
        new = iter([tree.files[number] for (number,) in struct.iter_unpack(">I", fields.bytes())])
        kept = iter(fields.texts(limits.MANIFEST_FILES))
        touches = fields.bytes()
        made, gone = (fields.texts(2 * limits.MANIFEST_FOLDERS) for _ in range(2))
        fields.end()
        return cls(
            mod_id,
            tree,
            tuple(_steps(kinds, old, new, kept)),
            tuple(
                Touch(number, None if time == _NO_TIME else time, flag == 1)
                for number, time, flag in _TOUCH.iter_unpack(touches)
            ),
            tuple(made),
            tuple(gone),
        )


def _of_time(time: int | None) -> int:
    return _NO_TIME if time is None else time


def _steps(
    kinds: bytes, old: Iterator[WrittenFile], new: Iterator[WrittenFile], kept: Iterator[str]
) -> Iterator[PathStep]:
    try:
        for kind in kinds:
            before = next(old) if kind & 1 else None
            after = next(new) if kind & 2 else None
            one = before or after
            yield PathStep(one.path if one else next(kept), before, after)
    except StopIteration:
        raise Malformed("a plan with fewer files than steps") from None
