"""Paths that some system could not hold, or would write elsewhere, are refused on all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content import file_paths
from protocol.content.file_paths import check_path, check_text, check_tree
from protocol.errors import UnsafePath


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c.txt",
        ".hidden",
        "..a",
        "a..b",
        "con1",
        "console",
        "common/auxiliary.txt",
        "com",
        "lpt10",
        "Ünïcode/名前.dds",
        "e\u0301",
        "👩‍🚀.png",
        "with space/x y",
        "a" * limits.NAME_BYTES,
    ],
)
def test_safe_paths(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/x",
        "//x",
        "x/",
        "x//y",
        ".",
        "..",
        "../x",
        "x/../y",
        "x/..",
        "x/./y",
        "C:\\x",
        "C:x",
        "\\x",
        "\\\\host\\share",
        "x\\..\\y",
        "a\0b",
        "a\nb",
        "a\x1b[31mb",
        "a\x7fb",
        "a\x85b",
        "\ud800",
        "x.",
        "x ",
        "x./y",
        "x /y",
        "...",
        "NUL",
        "nul.txt",
        "NUL .txt",
        "Con",
        "x/aux/y",
        "prn.tar.gz",
        "com1",
        "COM9.log",
        "lpt0",
        "com\u00b9",
        "LPT\u00b3.x",
        "CONIN$",
        "conout$.txt",
        "a:stream",
        "what?",
        "star*",
        'quo"te',
        "pi|pe",
        "<x",
        "x>",
        "a" * (limits.NAME_BYTES + 1),
        "é" * (limits.NAME_BYTES // 2 + 1),
        "a/" * (limits.FILE_PATH_BYTES // 2) + "b",
    ],
)
def test_unsafe_paths(path: str) -> None:
    with pytest.raises(UnsafePath) as caught:
        check_path(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "a"], "twice"),
        (["x/a", "x/a"], "twice"),
        (["a", "A"], "one name"),
        (["Texture.dds", "texture.DDS"], "one name"),
        (["x/a", "X/b"], "one name"),
        (["é", "e\u0301"], "one name"),
        (["É", "e\u0301"], "one name"),
        (["straße", "STRASSE"], "one name"),
        (["a", "a/b"], "both a file and a folder"),
        (["a/b", "a"], "both a file and a folder"),
        (["A", "a/b/c"], "both a file and a folder"),
        (["a/b/c", "a/B"], "both a file and a folder"),
        (["ok", "../x"], "part"),
    ],
)
def test_paths_that_cannot_stand_together(names: list[str], reason: str) -> None:
    with pytest.raises(UnsafePath, match=reason):
        check_tree(names)


def test_paths_that_can_stand_together() -> None:
    check_tree(["a", "b/a", "b/c/a", "b/c/b", "ba", "c", "b/d", "d/b/c/a"])


def test_folders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_FOLDERS", 3)
    check_tree(["a/b/c/x", "a/b/c/y", "z"])
    with pytest.raises(UnsafePath, match="folders"):
        check_tree(["a/b/c/x", "d/x"])


NAMES = st.text("abAB.é\u0301", min_size=1, max_size=3)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=6))
def test_what_is_accepted_collides_nowhere(names: list[str]) -> None:
    """Against a plain model: every prefix of every path, folded, means one thing only."""
    try:
        check_tree(names)
    except UnsafePath:
        return
    meanings: dict[str, tuple[str, bool]] = {}
    for path in names:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            is_file = count == len(parts)
            spelled = "/".join(parts[:count])
            folded = "/".join(map(file_paths.collision_key, parts[:count]))
            known = meanings.setdefault(folded, (spelled, is_file))
            assert known == (spelled, is_file)
    assert len(set(names)) == len(names)


@given(st.text(max_size=300))
def test_any_text_is_safe_or_unsafe(text: str) -> None:
    refusal = ""
    try:
        check_path(text)
    except UnsafePath as error:
        refusal = str(error)
    assert refusal.isprintable()


def test_names_of_mods() -> None:
    assert check_text("Mod: a *great* one?", "the name", 100)
    for text in ("a\nb", "\ud800", "x" * 101):
        with pytest.raises(UnsafePath):
            check_text(text, "the name", 100)


@pytest.mark.parametrize("path", ["abc\u202etxt.exe", "a/\u2066b", "a\u2029b/c"])
def test_no_file_name_turns_the_text_around_it(path: str) -> None:
    with pytest.raises(UnsafePath, match="direction of the text"):
        check_path(path)


@pytest.mark.parametrize("unseen", ["\u200b", "\u200d", "\u200f", "\ufeff", "\u00ad", "\ufe0f"])
def test_no_two_names_differ_by_what_is_not_seen(unseen: str) -> None:
    check_tree([f"a{unseen}b", "ac"])
    for twins in (["ab", f"a{unseen}b"], ["ab/x", f"a{unseen}b/y"]):
        with pytest.raises(UnsafePath):
            check_tree(twins)
