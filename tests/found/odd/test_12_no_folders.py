"""No HOME, no entry for the user, no current folder, no folder for temporary files."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from node.content.vault.index import Index
from node.faces.cli import exits
from node.faces.cli.running import RunOutput
from node.faces.demo.overlay import overlay
from node.machine import folders
from protocol.errors import BadInput, DiskError, HomeError
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, FakeNode

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows names homes otherwise")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME that the system does not know, as in a container."""
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_DATA_HOME", "MODSWARM_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@posix
@pytest.mark.usefixtures("nobody")
def test_a_user_without_a_home_uses_one_that_is_named(
    capsys: pytest.CaptureFixture[str], node: FakeNode, tmp_path: Path
) -> None:
    home = str(tmp_path / "home")
    assert status_of("ls", "--home", home) == 0
    out = RunOutput(tmp_path / "home", as_json=False)
    out.running(
        {
            "peer_id": "p",
            "addresses": [],
            "reachable": False,
            "bootstrap_addresses": [],
            "streams": {"listening": []},
        },
        "127.0.0.1:1",
        asks_router=False,
    )
    assert f"--home {home}" in capsys.readouterr().out
    assert folders.known_default_home() is None


@posix
def test_a_user_without_a_home_is_told_to_name_one(
    capsys: pytest.CaptureFixture[str], nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for home in ("", "relative", None):
        with monkeypatch.context() as given:
            if home is not None:
                given.setenv("HOME", home)
                given.setenv("XDG_DATA_HOME", home)
            assert status_of("ls") == exits.FAILURE
        told = capsys.readouterr().err
        assert "this user has no home folder" in told
        assert "--home DIR" in told
        assert "defect" not in told
    assert status_of("--help") == 0


@posix
def test_what_is_no_whole_path_is_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert folders.default_home() == tmp_path / ".local" / "share" / "modswarm"
    monkeypatch.setenv("HOME", "data")
    assert folders.default_home().is_absolute()


def gone(*_: object) -> str:
    raise FileNotFoundError(2, "No such file or directory")


@pytest.mark.parametrize(
    "args",
    [
        ["ls", "--home", "here"],
        ["share", "hats"],
        ["get", str(LINK)],
        ["get", str(LINK), "--to", "out"],
        ["get", str(LINK), "--to", "../out"],
    ],
    ids=" ".join,
)
def test_a_removed_current_folder_is_named(
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
) -> None:
    monkeypatch.setattr(os, "getcwd", gone)
    assert status_of(*args) == exits.USAGE
    told = capsys.readouterr().err
    assert "the current folder does not exist any more" in told
    assert "`cd`" in told
    assert node.asked == []


def test_whole_paths_need_no_current_folder(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "getcwd", gone)
    assert status_of("ls") == 0
    assert status_of("share", str(tmp_path / "hats")) == 0
    assert status_of("get", str(LINK), "--to", str(tmp_path / "out")) == 0
    with pytest.raises(BadInput):
        folders.current_folder()


@posix
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="removes the folder really")
def test_a_folder_that_is_really_removed(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert status_of("ls") == 0
    assert status_of("share", "hats") == exits.USAGE


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", none)
    with (
        pytest.raises(DiskError, match="temporary files") as told,
        overlay(3, lambda homes, say: None, lambda step, sentence: None),
    ):
        pass
    assert "TMPDIR" in told.value.advice
    index = Index(tmp_path / "index.sqlite")
    index.close()


def test_a_home_error_names_the_option() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "known_default_home", lambda: None)
        with pytest.raises(HomeError) as told:
            folders.default_home()
    assert "--home" in told.value.advice
