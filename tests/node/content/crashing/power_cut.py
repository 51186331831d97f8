"""What a disk may hold after the power was cut: what was flushed, and of the rest anything.

As CrashMonkey (Mohan et al., OSDI 2018) and ALICE (Pillai et al., OSDI 2014) do it: the operations
of one run are played on a model of the disk, which knows of each file and each folder what was
flushed and what came since. The bytes of a file survive its flush, its name that of its folder. Of
what came since there is nothing left, or some of it, in any order, writes torn at the borders of
sectors: all that POSIX allows, and more than ext4 does.
"""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.node.content.crashing.crash_log import Operation

LOST, SOME, NAMES, HOLES = "lost", "some", "names", "holes"
VARIANTS = (LOST, SOME, SOME, NAMES, HOLES)
"""Nothing unflushed survives; some of it; all names and no bytes; all sizes, with zeros there."""
_SECTORS = (512, 4096)


@dataclass(eq=False, slots=True)
class _File:
    flushed: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes (offset, bytes) and cuts (size, None)."""

    def flush(self) -> None:
        for change in self.since:
            _apply(self.flushed, change)
        self.since.clear()

    def content(self) -> bytes:
        """What a process sees."""
        data = bytearray(self.flushed)
        for change in self.since:
            _apply(data, change)
        return bytes(data)

    def left(self, variant: str, rng: random.Random) -> bytes:
        """What a disk may hold of it."""
        data = bytearray(self.flushed)
        if variant == HOLES:
            grown = len(self.content())
            data.extend(bytes(max(0, grown - len(data))))
        if variant != SOME or not self.since:
            return bytes(data)
        in_order = rng.random() < 0.5
        kept = self.since[: rng.randrange(len(self.since) + 1)] if in_order else self.since
        for place, change in enumerate(kept):
            last = in_order and place == len(kept) - 1
            if in_order or rng.random() < 0.5:
                torn = last or rng.random() < 0.3
                _apply(data, _torn(change, rng) if torn else change)
        return bytes(data)


def _apply(data: bytearray, change: tuple[int, bytes | None]) -> None:
    at, written = change
    if written is None:
        del data[at:]
        data.extend(bytes(at - len(data)))
        return
    data.extend(bytes(max(0, at - len(data))))
    data[at : at + len(written)] = written


def _torn(change: tuple[int, bytes | None], rng: random.Random) -> tuple[int, bytes | None]:
    at, written = change
    if written is None:
        return change
    sector = rng.choice(_SECTORS)
    first, last = at // sector + 1, (at + len(written) - 1) // sector
    if first > last:
        return at, b""
    border = rng.randint(first, last) * sector
    return (at, written[: border - at]) if rng.random() < 0.7 else (border, written[border - at :])


@dataclass(eq=False, slots=True)
class _Folder:
    flushed: dict[str, "_Inode"] = field(default_factory=dict)
    names: dict[str, "_Inode"] = field(default_factory=dict)
    """What a process sees."""


_Inode = _File | _Folder


@dataclass(eq=False, slots=True)
class _Naming:
    """Names that change at once: in a folder a name is for this, or for nothing any more."""

    changes: list[tuple[_Folder, str, _Inode | None]]

    def do(self, tree: dict[int, dict[str, _Inode]]) -> None:
        for folder, name, inode in self.changes:
            names = tree.setdefault(id(folder), dict(folder.flushed))
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode


class DiskModel:
    """A disk below one folder: what is on it now, and what of that was flushed."""

    def __init__(self, root: Path) -> None:
        """All that is there now counts as flushed."""
        self._root = root.resolve()
        self._inodes: dict[int, _Inode] = {}
        self._top = _Folder()
        self._since: list[_Naming] = []
        self._read(self._root, self._top)

    def _read(self, place: Path, folder: _Folder) -> None:
        self._inodes[place.stat().st_ino] = folder
        for entry in sorted(place.iterdir()):
            inode: _Inode = _Folder() if entry.is_dir() else _File(bytearray(entry.read_bytes()))
            folder.flushed[entry.name] = folder.names[entry.name] = inode
            self._inodes[entry.stat().st_ino] = inode
            if isinstance(inode, _Folder):
                self._read(entry, inode)

    # Playing --------------------------------------------------------------------------------

    def play(self, one: Operation) -> None:
        """Do one operation."""
        match one.kind:
            case "C" | "D":
                inode = _File() if one.kind == "C" else _Folder()
                self._inodes[one.inode] = inode
                self._name((*self._place(one.path), inode))
            case "W":
                self._file(one).since.append((one.number, one.data))
            case "T":
                self._file(one).since.append((one.number, None))
            case "F":
                self._flush(self._inodes[one.inode])
            case "S":
                self._flush_all()
            case "R":
                folder, name = self._place(one.path)
                self._name((folder, name, None), (*self._place(one.other), folder.names[name]))
            case "L":
                self._name((*self._place(one.other), self._inodes[one.inode]))
            case "U":
                self._name((*self._place(one.path), None))

    def _file(self, one: Operation) -> _File:
        inode = self._inodes[one.inode]
        assert isinstance(inode, _File)
        return inode

    def _place(self, path: str) -> tuple[_Folder, str]:
        parts = Path(os.path.normpath(path)).relative_to(self._root).parts
        folder = self._top
        for part in parts[:-1]:
            inode = folder.names[part]
            assert isinstance(inode, _Folder)
            folder = inode
        return folder, parts[-1]

    def _name(self, *changes: tuple[_Folder, str, _Inode | None]) -> None:
        for folder, name, inode in changes:
            if inode is None:
                del folder.names[name]
            else:
                folder.names[name] = inode
        self._since.append(_Naming(list(changes)))

    def _flush(self, inode: _Inode) -> None:
        if isinstance(inode, _File):
            inode.flush()
            return
        tree: dict[int, dict[str, _Inode]] = {}
        ours = [one for one in self._since if any(change[0] is inode for change in one.changes)]
        folders = {id(change[0]): change[0] for one in ours for change in one.changes}
        for naming in ours:
            naming.do(tree)
            self._since.remove(naming)
        for number, names in tree.items():
            folders[number].flushed = names

    def _flush_all(self) -> None:
        for inode in self._inodes.values():
            if isinstance(inode, _File):
                inode.flush()
            else:
                inode.flushed = dict(inode.names)
        self._since.clear()

    # What there is --------------------------------------------------------------------------

    def seen(self) -> dict[str, bytes]:
        """The files as a process sees them."""
        return dict(_files_of(self._top, ""))

    def write_left(self, variant: str, rng: random.Random, place: Path) -> None:
        """Write what the disk may hold after a cut of the power at this moment into a folder."""
        tree: dict[int, dict[str, _Inode]] = {}
        for naming in self._surviving(variant, rng):
            naming.do(tree)
        self._write(self._top, tree, place, variant, rng)

    def _surviving(self, variant: str, rng: random.Random) -> Sequence[_Naming]:
        if variant in (NAMES, HOLES):
            return self._since
        if variant == LOST:
            return ()
        if rng.random() < 0.5:  # as a journal has them
            return self._since[: rng.randrange(len(self._since) + 1)]
        return [one for one in self._since if rng.random() < 0.5]

    def _write(
        self,
        folder: _Folder,
        tree: dict[int, dict[str, _Inode]],
        place: Path,
        variant: str,
        rng: random.Random,
    ) -> None:
        for name, inode in tree.get(id(folder), folder.flushed).items():
            if isinstance(inode, _Folder):
                (place / name).mkdir()
                self._write(inode, tree, place / name, variant, rng)
            else:
                (place / name).write_bytes(inode.left(variant, rng))


def _files_of(folder: _Folder, path: str) -> Iterator[tuple[str, bytes]]:
    for name, inode in folder.names.items():
        if isinstance(inode, _Folder):
            yield from _files_of(inode, f"{path}{name}/")
        else:
            yield f"{path}{name}", inode.content()
