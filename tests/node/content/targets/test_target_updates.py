"""A target comes from one version to another, whatever a person did there meanwhile."""

from pathlib import Path

from tests.node.content.targets.target_worlds import ONE, TWO, target_world, tree_of, tree_with


async def test_to_the_new_version_and_back(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        inode = (world.target / "maps" / "same").stat().st_ino
        done = await world.update(2)
        assert tree_of(world.target) == tree_with(TWO)
        assert await world.mod_id() == done.mod_id == world.versions[2].manifest.mod_id
        assert (world.target / "maps" / "same").stat().st_ino == inode
        changed = {path for path in TWO if TWO[path] != ONE.get(path)}
        assert set(done.written) == changed
        assert set(done.removed) == {*ONE} - {*TWO}
        assert done.bytes_written == sum(len(TWO[path]) for path in changed)
        assert (done.unchanged, done.kept_local, done.left_changed) == (2, (), ())
        back = await world.update(1)
        assert tree_of(world.target) == tree_with(ONE)
        assert back.restored == ()
        assert world.left_beside() == []
