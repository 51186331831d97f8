"""Patterns of what is left out mean what they mean to git."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from node.content.publish import leaving_out
from node.content.publish.leaving_out import LeavingOut
from node.content.publish.patterns import Comparisons, Pattern, read_pattern
from node.disk.descent import Descent
from tests.node.content.content_nodes import write_files


def read(line: str) -> Pattern:
    pattern = read_pattern(line)
    assert pattern is not None
    return pattern


@pytest.mark.parametrize(
    ("line", "path", "matches"),
    [
        ("foo", "foo", True),
        ("foo", "a/foo", True),
        ("foo", "foo/a", False),
        ("foo/", "foo", False),
        ("foo/", "foo/", True),
        ("foo/", "a/foo/", True),
        ("/foo", "foo", True),
        ("/foo", "a/foo", False),
        ("a/foo", "a/foo", True),
        ("a/foo", "b/a/foo", False),
        ("**/foo", "foo", True),
        ("**/foo", "a/b/foo", True),
        ("a/**", "a/", False),
        ("a/**", "a/b/c", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b/**/c", "a/b/b/x/c", True),
        ("a/**/b/**/c", "a/x/c", False),
        ("*", "any", True),
        ("**", "any/thing", True),
        ("*.log", "a/.log", True),
        ("*a*b*c", "xaybzc", True),
        ("*a*b*c", "xaybzcd", False),
        ("*ab*ab", "abab", True),
        ("*ab*ab", "ab", False),
        ("*[ab]?", "xay", True),
        ("[!a]", "b", True),
        ("[^a]", "a", False),
        ("\\#a", "#a", True),
        ("\\!a", "!a", True),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("a ", "a", True),
        ("a\\ ", "a ", True),
        ("a\t", "a\t", True),
        ("a\t", "a", False),
        ("e\u0301", "\u00e9", True),
        ("A", "a", False),
        ("a.b", "axb", False),
        ("***", "anything", True),
    ],
)
def test_a_pattern(line: str, path: str, matches: bool) -> None:
    names = path.rstrip("/").split("/")
    assert read(line).matches(names, path.endswith("/"), Comparisons()) is matches
    assert read("!" + line).negated


@pytest.mark.parametrize("line", ["", "  ", "# x", "\r"])
def test_lines_that_say_nothing(line: str) -> None:
    assert read_pattern(line) is None


_NAMES = ("a", "b", "ab", "foo", "foo.log", "x.txt", "ba", "aab", ".h", "b c")
_PARTS = (
    *("*", "**", "a", "b", "a*", "*b", "?", "*a*b", "foo", "*.log"),
    *("[ab]", "[!a]*", "foo*", "*.*", "\\a", "b c"),
)


def some_tree(rng: random.Random, folder: Path) -> Path:
    for _ in range(120):
        place = folder
        for _ in range(rng.randint(0, 4)):
            if not (place / (name := rng.choice(_NAMES))).is_file():
                place /= name
        if not (place / (name := rng.choice(_NAMES))).exists():
            write_files(place, {name: b""})
    return folder


def some_pattern(rng: random.Random) -> str:
    parts = (rng.choice(_PARTS) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4])))
    begin, end = rng.choice(["", "", "/"]), rng.choice(["", "", "/", "/**"])
    return rng.choice(["", "", "!"]) + begin + "/".join(parts) + end


def kept(folder: Path, rules: LeavingOut, prefix: str = "") -> set[str]:
    found = set()
    with Descent(folder) as descent:
        rules.enter(prefix, descent, "")
    for entry in os.scandir(folder):
        path = prefix + entry.name
        if entry.name == ".git" or rules.covers(path, is_folder=entry.is_dir()):
            continue
        found |= kept(Path(entry.path), rules, path + "/") if entry.is_dir() else {path}
    return found


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_leaves_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rules at the top and in a folder, each time others."""
    monkeypatch.setattr(leaving_out, "IGNORE_FILE", ".gitignore")
    rng = random.Random(19)
    folder = some_tree(rng, tmp_path / "mod")
    folders = sorted(path for path in folder.rglob("*") if path.is_dir())
    git = ["git", "-c", "core.ignorecase=false", "-c", "core.excludesFile=", "-C", str(folder)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for _ in range(60):
        inner = rng.choice(folders) / ".gitignore"
        for place in (folder / ".gitignore", inner):
            lines = [some_pattern(rng) for _ in range(rng.randint(1, 5))]
            place.write_text("\n".join(lines) + "\n")
        listing = [*git, "ls-files", "-z", "--others", "--exclude-standard"]
        told = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
        wanted = {path for path in told.split("\0") if path and not path.endswith(".gitignore")}
        assert kept(folder, LeavingOut()) == wanted, (folder / ".gitignore").read_text()
        inner.unlink()
