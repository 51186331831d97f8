"""What a person did in a target is there after each update, and is said."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.content.progress import Progress
from node.content.targets.outcome import ChangedFiles
from node.content.targets.target_tree import TargetTree
from protocol.errors import LocalError, TargetChanged
from tests.node.content.targets.target_worlds import (
    MINE,
    ONE,
    TWO,
    TargetWorld,
    target_world,
    tree_of,
    tree_with,
)

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")


def write(path: str) -> Callable[[Path], None]:
    def do(target: Path) -> None:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(MINE)

    return do


def as_before(path: str) -> Callable[[Path], None]:
    """Other bytes, as many as before, with the time of those."""

    def do(target: Path) -> None:
        status = (target / path).stat()
        (target / path).write_bytes(b"?" * status.st_size)
        os.utime(target / path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))

    return do


def instead(path: str, inner: str) -> Callable[[Path], None]:
    """A folder of the person's where a file was, or is to be."""

    def do(target: Path) -> None:
        (target / path).unlink(missing_ok=True)
        (target / path).mkdir(parents=True)
        (target / path / inner).write_bytes(MINE)

    return do


def file_instead(path: str) -> Callable[[Path], None]:
    def do(target: Path) -> None:
        shutil.rmtree(target / path, ignore_errors=True)
        (target / path).write_bytes(MINE)

    return do


def linked(path: str) -> Callable[[Path], None]:
    def do(target: Path) -> None:
        (target / path).unlink(missing_ok=True)
        (target / path).symlink_to("same.txt")

    return do


def twice(path: str) -> Callable[[Path], None]:
    """One more file of the person's has the name that theirs would get."""

    def do(target: Path) -> None:
        (target / path).write_bytes(MINE)
        (target / f"{path}.local").write_bytes(b"older words")

    return do


CHANGES = {
    "changed": (write("changed.txt"), {"changed.txt.local": MINE}),
    "changed, as large and nearly as old": (
        as_before("changed.txt"),
        {"changed.txt.local": b"?" * len(ONE["changed.txt"])},
    ),
    "changed, and gone in the new one": (write("gone.txt"), {"gone.txt.local": MINE}),
    "changed deep in a folder that goes": (
        write("old folder/deep/file"),
        {"old folder/deep/file.local": MINE},
    ),
    "changed where a folder comes": (write("turns"), {"turns.local": MINE}),
    "changed in a folder that becomes a file": (
        write("twist/inner"),
        {"twist.local/inner.local": MINE},
    ),
    "foreign where a file comes": (write("new.txt"), {"new.txt.local": MINE}),
    "foreign where a folder comes": (write("new"), {"new.local": MINE}),
    "foreign folder where a file comes": (instead("new.txt", "x"), {"new.txt.local/x": MINE}),
    "foreign folder in place of a file": (
        instead("changed.txt", "x"),
        {"changed.txt.local/x": MINE},
    ),
    "a file in place of a folder": (file_instead("maps"), {"maps.local": MINE}),
    "changed, and the name beside is taken": (
        twice("changed.txt"),
        {"changed.txt.local": b"older words", "changed.txt.local-2": MINE},
    ),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_persons_own_is_kept_beside(what: str, tmp_path: Path) -> None:
    change, kept = CHANGES[what]
    async with target_world(tmp_path) as world:
        change(world.target)
        done = await world.update(2)
        found = tree_of(world.target)
        assert found == tree_with({**TWO, **kept})
        mine = {path for path, data in kept.items() if data != b"older words"}
        assert all(
            any(f"{path}/".startswith(f"{one}/") for one in done.kept_local) for path in mine
        )
        assert all((world.target / one).exists() for one in done.kept_local)
        assert world.left_beside() == []
        # What is the person's now stays where it is.
        assert (await world.update(2)).kept_local == ()
        await world.update(1)
        assert tree_of(world.target) == tree_with({**ONE, **kept})


@pytest.mark.parametrize("what", CHANGES)
async def test_or_the_update_is_refused(what: str, tmp_path: Path) -> None:
    change, _ = CHANGES[what]
    async with target_world(tmp_path) as world:
        change(world.target)
        before = tree_of(world.target)
        with pytest.raises(TargetChanged, match=r"not as modswarm wrote them: \S"):
            await world.update(2, ChangedFiles.REFUSE)
        assert tree_of(world.target) == before
        assert await world.mod_id() == world.versions[1].manifest.mod_id
        assert world.left_beside() == []


async def test_what_the_version_did_not_change_stays_as_the_person_has_it(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        write("same.txt")(world.target)
        for version in (2, 1, 2):
            done = await world.update(version, ChangedFiles.REFUSE)
            assert done.left_changed == ("same.txt",)
            assert (world.target / "same.txt").read_bytes() == MINE
        (world.target / "same.txt").write_bytes(ONE["same.txt"])
        assert (await world.update(1)).left_changed == ()


async def test_a_file_that_was_removed_comes_back_and_is_said(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        for path in ("same.txt", "gone.txt", "changed.txt"):
            (world.target / path).unlink()
        done = await world.update(2, ChangedFiles.REFUSE)
        assert done.restored == ("same.txt",)
        assert tree_of(world.target) == tree_with(TWO)


async def test_a_foreign_file_that_has_the_right_bytes_becomes_the_mods(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        (world.target / "new").mkdir()
        (world.target / "new.txt").write_bytes(TWO["new.txt"])
        (world.target / "changed.txt").write_bytes(TWO["changed.txt"])
        done = await world.update(2, ChangedFiles.REFUSE)
        assert not {"new.txt", "changed.txt"} & {*done.written}
        assert tree_of(world.target) == tree_with(TWO)
        await world.update(1, ChangedFiles.REFUSE)
        assert tree_of(world.target) == tree_with(ONE)


async def test_foreign_files_elsewhere_are_not_touched(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        foreign = {"mine": MINE, "old folder/deep/mine": MINE, "twist/mine": MINE}
        for path in foreign:
            write(path)(world.target)
        done = await world.update(2)
        kept = {"mine": MINE, "old folder/deep/mine": MINE, "twist.local/mine": MINE}
        assert tree_of(world.target) == tree_with({**TWO, **kept})
        assert done.kept_local == ("twist.local",)


@needs_links
@pytest.mark.parametrize("path", ["changed.txt", "new.txt", "gone.txt", "turns"])
async def test_a_link_in_place_of_a_file_is_kept_and_not_followed(
    path: str, tmp_path: Path
) -> None:
    async with target_world(tmp_path) as world:
        linked(path)(world.target)
        await world.update(2)
        expected = tree_with(TWO)
        expected[f"{path}.local"] = "same.txt"
        assert tree_of(world.target) == expected


@needs_links
@pytest.mark.parametrize("path", ["maps", "old folder", "new"])
@pytest.mark.parametrize("policy", ChangedFiles)
async def test_a_link_in_place_of_a_folder_is_never_followed(
    path: str, policy: ChangedFiles, tmp_path: Path
) -> None:
    async with target_world(tmp_path) as world:
        elsewhere = tmp_path / "elsewhere"
        if (world.target / path).exists():
            (world.target / path).rename(elsewhere)
        else:
            elsewhere.mkdir()
        (world.target / path).symlink_to(elsewhere)
        before, outside = tree_of(world.target), tree_of(elsewhere)
        with pytest.raises(TargetChanged, match="no link is followed"):
            await world.update(2, policy)
        assert (tree_of(world.target), tree_of(elsewhere)) == (before, outside)
        assert world.left_beside() == []


@needs_links
async def test_a_link_in_place_of_the_target_is_never_followed(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        world.target.rename(tmp_path / "moved")
        world.target.symlink_to(tmp_path / "moved")
        with pytest.raises(TargetChanged, match="is a link"):
            await world.update(2)
        assert tree_of(tmp_path / "moved") == tree_with(ONE)


class Meddler:
    """A person who does something just before a file of the target is renamed, once."""

    def __init__(self, world: TargetWorld, path: str, do: Callable[[Path], None]) -> None:
        self.done = False
        self._world = world
        self._path = path
        self._do = do

    def come(self, path: str, other_path: str) -> None:
        if not self.done and self._path in (path, other_path):
            self.done = True
            self._do(self._world.target)


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Meddler], None]:
    def set_up(meddler: Meddler) -> None:
        for name in ("move", "move_new"):
            real = getattr(TargetTree, name)

            def moved(
                tree: TargetTree,
                path: str,
                other: TargetTree,
                other_path: str,
                real: Callable[..., None] = real,
            ) -> None:
                meddler.come(path, other_path)
                real(tree, path, other, other_path)

            monkeypatch.setattr(TargetTree, name, moved)

    return set_up


RACES = {
    "edited": ("changed.txt", write("changed.txt"), {"changed.txt.local": MINE}),
    "edited, of one size": (
        "changed.txt",
        as_before("changed.txt"),
        {"changed.txt.local": b"?" * len(ONE["changed.txt"])},
    ),
    "edited while it goes": ("gone.txt", write("gone.txt"), {"gone.txt.local": MINE}),
    "made where a new one lands": ("new.txt", write("new.txt"), {"new.txt.local": MINE}),
    "removed": ("changed.txt", lambda target: (target / "changed.txt").unlink(), {}),
    "its folder is removed": ("maps/big", lambda target: shutil.rmtree(target / "maps"), None),
}


@pytest.mark.parametrize("what", RACES)
async def test_what_a_person_does_just_before_a_rename(
    what: str, tmp_path: Path, meddle: Callable[[Meddler], None]
) -> None:
    path, do, kept = RACES[what]
    async with target_world(tmp_path) as world:
        meddler = Meddler(world, path, do)
        meddle(meddler)
        await world.update(2)
        assert meddler.done
        if kept is None:
            await world.update(2)
        assert tree_of(world.target) == tree_with({**TWO, **(kept or {})})
        assert world.left_beside() == []


async def test_what_a_person_writes_while_new_files_are_prepared(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:

        def report(_: Progress) -> None:
            write("changed.txt")(world.target)
            write("gone.txt")(world.target)
            write("new/folder/file")(world.target)

        await world.updater.update(world.versions[2], world.target, ChangedFiles.REFUSE, report)
        kept = {f"{path}.local": MINE for path in ("changed.txt", "gone.txt", "new/folder/file")}
        assert tree_of(world.target) == tree_with({**TWO, **kept})


@needs_links
@pytest.mark.parametrize(
    ("path", "folder"), [("maps/big", "maps"), ("new/folder/file", "new"), ("new.txt", "")]
)
async def test_a_link_that_takes_a_folders_place_at_the_last_moment(
    path: str, folder: str, tmp_path: Path, meddle: Callable[[Meddler], None]
) -> None:
    async with target_world(tmp_path) as world:
        outside = tmp_path / "outside"
        (outside / "folder").mkdir(parents=True)
        (outside / "big").write_bytes(MINE)
        before = tree_of(outside)

        def swap(target: Path) -> None:
            place = target / folder if folder else target
            place.rename(tmp_path / "moved away")
            place.symlink_to(outside)

        meddle(Meddler(world, path, swap))
        with contextlib.suppress(LocalError):  # done or refused: nothing lands outside
            await world.update(2)
        assert tree_of(outside) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows lets no open file lose its name")
async def test_what_a_program_writes_into_a_file_that_it_holds_open(
    tmp_path: Path, meddle: Callable[[Meddler], None]
) -> None:
    async with target_world(tmp_path) as world:
        with (world.target / "changed.txt").open("ab") as held:

            def write_on(_: Path) -> None:
                held.write(MINE)
                held.flush()

            # By then the old file has lost its name.
            meddle(Meddler(world, "new.txt", write_on))
            done = await world.update(2)
        assert done.kept_local == ("changed.txt.local",)
        kept = {"changed.txt.local": ONE["changed.txt"] + MINE}
        assert tree_of(world.target) == tree_with({**TWO, **kept})


async def test_a_change_has_its_name_before_the_new_file_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with target_world(tmp_path) as world:
        seen: list[tuple[str, bool]] = []
        real_move, real_new = TargetTree.move, TargetTree.move_new

        def move(tree: TargetTree, path: str, other: TargetTree, other_path: str) -> None:
            if path == "changed.txt":
                (world.target / path).write_bytes(MINE)
            real_move(tree, path, other, other_path)

        def move_new(tree: TargetTree, path: str, other: TargetTree, other_path: str) -> None:
            seen.append((other_path, (world.target / "changed.txt.local").exists()))
            real_new(tree, path, other, other_path)

        monkeypatch.setattr(TargetTree, "move", move)
        monkeypatch.setattr(TargetTree, "move_new", move_new)
        await world.update(2)
        assert ("changed.txt", True) in seen


@needs_links
def test_no_link_is_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(MINE)
    (tmp_path / "link").symlink_to("secret")
    with (
        contextlib.closing(TargetTree(tmp_path)) as tree,
        pytest.raises(OSError, match="symbolic link"),
    ):
        tree.open("link")
