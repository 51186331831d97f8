"""share, get and rm: what they ask the node, and what they tell of it."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node.answers.mods import Announcement
from node.content.download.bounds import SizeBound
from node.faces.cli import exits, mods
from protocol import limits
from protocol.causes.cause import Cause
from protocol.content.link import ModLink, parse
from protocol.errors import BadLink
from protocol.identity import base32_text, peer_id_text
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, MOD_ID, PEER, FakeNode, stored_mod


def test_share_prints_the_link_alone_on_standard_output(
    node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status_of("share", "hats", "--name", "Hats") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{LINK}\n"
    assert "Announced at 3 of 4 contacts" in printed.err
    assert node.asked[-1] == ("share", tmp_path / "hats", "Hats")


@pytest.mark.parametrize(
    ("asked", "refused", "why"),
    [
        (4, {"timed_out": 4}, "of 4 contacts that should keep the announcement none answers"),
        (
            *(4, {"issued_in_future": 3, "timed_out": 1}),
            "3 of 4 contacts refused the announcement: by their clocks this computer's is ahead",
        ),
        (
            *(4, {"issued_in_future": 3, "timed_out": 1}),
            "(`modswarm doctor` says what all contacts find); 1 did not answer",
        ),
        (
            *(20, {"issued_in_future": 1, "timed_out": 19}),
            "1 of 20 contacts refused the announcement: by their clocks",
        ),
        (4, {"expired": 4}, "by their clocks this computer's is far behind"),
        (1, {"key_full": 1}, "1 of 1 contact refused the announcement: they know as many holders"),
        (4, {"timed_out": 3, "store_full": 1}, "1 of 4 contacts refused the announcement: their"),
    ],
)
def test_share_says_why_nothing_is_announced(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    asked: int,
    refused: dict[str, int],
    why: str,
) -> None:
    node.sharing.announcement = Announcement(0, asked, refused)
    assert status_of("share", "hats") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{LINK}\n"
    assert "Not announced yet: " in printed.err
    assert why in printed.err


@pytest.mark.parametrize("cause", [Cause.NO_CONTACTS, Cause.NO_NODE_KNOWN])
def test_share_says_what_to_do_where_no_node_is_asked(
    node: FakeNode, capsys: pytest.CaptureFixture[str], cause: Cause
) -> None:
    node.sharing.announcement = Announcement(0, 0, {}, cause)
    assert status_of("share", "hats") == exits.OK
    told = capsys.readouterr().err
    assert f"Not announced yet: {cause.sentence}. {cause.advice} The node goes on trying." in told


def test_share_says_which_cap_refused_though_others_keep_the_announcement(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.announcement = Announcement(3, 5, {"store_full": 1, "timed_out": 1})
    assert status_of("share", "hats") == 0
    told = "Announced at 3 of 5 contacts; 1 refused: their memory for announcements is full."
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "meant"), [("a", "a"), ("./a/b", "a/b"), (".", "."), ("x/../a", "a")]
)
def test_paths_are_meant_from_where_the_person_stands(
    node: FakeNode, tmp_path: Path, given: str, meant: str
) -> None:
    assert status_of("share", given) == 0
    assert status_of("get", str(LINK), "--to", given) == 0
    assert node.asked == [
        ("share", tmp_path / meant, None),
        ("get", LINK, tmp_path / meant, None),
    ]


def test_without_a_target_the_mod_goes_into_the_current_folder(
    node: FakeNode, tmp_path: Path
) -> None:
    assert status_of("get", str(LINK)) == 0
    assert node.asked[-1] == ("get", LINK, None, tmp_path)


def test_get_reads_the_link_from_standard_input(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"  {LINK}\n"))
    assert status_of("get", "-") == 0
    assert node.asked[-1][:2] == ("get", LINK)


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("http://example.org", "not a modswarm link: "),
        ("modswarm:", "the link is cut: its mod id has 0 characters, not 56.\nCopy the whole link"),
        ("modswarm:abc", "the link is cut: its mod id has 3"),
        (str(LINK)[:-1], "the link is cut: its content key has 55"),
        (str(LINK)[1:], "the link is cut: its beginning is missing"),
        (str(LINK)[12:-3], "the link is cut: its beginning is missing"),
        (str(LINK)[:-1] + ("b" if str(LINK).endswith("a") else "a"), "the link has a typo"),
    ],
)
def test_a_link_with_a_typo_is_bad_input(
    node: FakeNode, capsys: pytest.CaptureFixture[str], link: str, told: str
) -> None:
    for command in (["get"], ["peers", "--has"]):
        assert status_of(*command, link) == exits.USAGE
        assert f"Error: {told}" in capsys.readouterr().err
    assert node.asked == []


@pytest.mark.parametrize("cut", [str(LINK)[:-1], str(LINK)[:40], str(LINK)[4:], str(LINK)[9:]])
def test_rm_is_told_a_link_that_is_cut(
    node: FakeNode, capsys: pytest.CaptureFixture[str], cut: str
) -> None:
    assert status_of("rm", cut) == exits.USAGE
    assert capsys.readouterr().err == (
        f"Error: {why_bad(cut)}.\nCopy the whole link, and put it in double quotes.\n"
    )
    assert node.asked == [("mods",)]


def why_bad(link: str) -> str:
    with pytest.raises(BadLink, match=r"^the link is cut: ") as refused:
        parse(link)
    return str(refused.value)


def test_rm_does_not_repeat_the_key_of_a_link(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = ModLink(OTHER, bytes(32))
    assert status_of("rm", str(unknown)) == exits.NOT_FOUND
    told = capsys.readouterr().err
    assert f"this node has no mod '{base32_text(OTHER)}'" in told
    assert str(unknown).partition("#")[2] not in told


def test_a_link_from_an_empty_pipe_is_bad_input(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert status_of("get", "-") == exits.USAGE


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a person sit at a terminal and answer so."""

    def answer(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{text}\n"))
        monkeypatch.setattr(mods, "at_a_terminal", lambda: True)

    return answer


def test_a_person_at_a_terminal_is_shown_the_mod_and_asked(
    node: FakeNode, terminal: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal("y")
    assert status_of("get", str(LINK)) == 0
    assert [asked[0] for asked in node.asked] == ["look", "get"]
    told = capsys.readouterr().err
    for part in (
        "hats",
        "12 files, 5.0 MB",
        "2.0 MB",
        "5.1 MB, in 3 folders",
        "a.txt",
        "b.txt",
        "and 10 more",
        "write it?",
    ):
        assert part in told
    assert node.sharing.bounds == [SizeBound(5_061_440, agreed=True)]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, None),
        (1, "Refused       what 1 peer sent that was not this mod"),
        (2, "Refused       what 2 peers sent that was not this mod"),
    ],
)
def test_get_tells_who_was_banned(
    node: FakeNode, capsys: pytest.CaptureFixture[str], count: int, told: str | None
) -> None:
    node.sharing.banned = (peer_id_text(PEER),) * count
    assert status_of("get", str(LINK)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Refused")] == ([told] if told else [])
    assert "Fetched       5 B from 1 peer" in lines


def test_what_the_person_does_not_want_is_not_fetched(
    node: FakeNode, terminal: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal("n")
    assert status_of("get", str(LINK)) == exits.FAILURE
    told = capsys.readouterr().err
    assert ("Nothing was written." in told, "Interrupted" in told) == (True, False)
    assert [asked[0] for asked in node.asked] == ["look"]


def test_what_is_larger_than_allowed_is_not_even_asked_about(
    node: FakeNode, terminal: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal("y")
    assert status_of("get", str(LINK), "--max-size", "4.9MB") == 0  # this one refuses nothing
    assert "Fetch and write it?" not in capsys.readouterr().err
    assert [asked[0] for asked in node.asked] == ["look", "get"]
    assert node.sharing.bounds == [SizeBound(4_900_000, agreed=True)]


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        ([], SizeBound(limits.GET_BYTES)),
        (["--yes"], SizeBound(limits.MOD_BYTES, agreed=True)),
        (["--max-size", "3GB"], SizeBound(3 * 10**9, agreed=True)),
        (["--max-size", "1.5 kb", "--yes"], SizeBound(1500, agreed=True)),
        (["--max-size", "77"], SizeBound(77, agreed=True)),
    ],
)
def test_scripts_are_not_asked_but_bounded(
    node: FakeNode, options: list[str], bound: SizeBound
) -> None:
    assert status_of("get", str(LINK), *options) == 0
    assert node.sharing.bounds == [bound]


@pytest.mark.parametrize(
    ("options", "wait_s"),
    [
        ([], limits.GET_WAIT_S),
        (["--wait", "0"], 0.0),
        (["--wait", "90"], 90.0),
        (["--wait", "5m"], 300.0),
        (["--wait", "1.5 h"], 5400.0),
        (["--wait", "10 min"], 600.0),
    ],
)
def test_how_long_a_lost_source_is_waited_for(
    node: FakeNode, options: list[str], wait_s: float
) -> None:
    assert status_of("get", str(LINK), *options) == 0
    assert node.sharing.waits == [wait_s]


@pytest.mark.parametrize("wait", ["", "x", "-1", "5y", "8d", "inf"])
def test_times_that_are_none(node: FakeNode, wait: str) -> None:
    assert status_of("get", str(LINK), "--wait", wait) == exits.USAGE
    assert node.asked == []


@pytest.mark.parametrize("size", ["", "x", "-1", "1EB", "1e9", "1 MB 2"])
def test_sizes_that_are_none(node: FakeNode, size: str) -> None:
    assert status_of("get", str(LINK), "--max-size", size) == exits.USAGE
    assert node.asked == []


@pytest.mark.parametrize(("size", "unit"), [("5GiB", "GB"), ("5G", "GB"), ("7 mib", "MB")])
def test_binary_units_are_told_what_is_meant(
    node: FakeNode, capsys: pytest.CaptureFixture[str], size: str, unit: str
) -> None:
    assert status_of("get", str(LINK), "--max-size", size) == exits.USAGE
    assert f"write {unit}" in capsys.readouterr().err


OTHER = bytes([1]) + MOD_ID[1:]


@pytest.mark.parametrize(
    "text", ["caps", str(ModLink(OTHER)), base32_text(OTHER), base32_text(OTHER).upper()]
)
def test_rm_takes_an_id_a_link_or_a_name(node: FakeNode, text: str) -> None:
    node.sharing.mod_list.append(stored_mod(OTHER, "caps"))
    assert status_of("rm", text) == exits.NOT_FOUND
    assert node.asked[-1] == ("remove", OTHER)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("shoes", exits.NOT_FOUND),
        (str(ModLink(bytes(32))), exits.NOT_FOUND),
        ("a", exits.USAGE),
        ("aaaqeay", exits.USAGE),
        ("hats", exits.USAGE),
        ("modswarm:x", exits.USAGE),
    ],
)
def test_rm_removes_nothing_when_it_is_unclear_what(node: FakeNode, text: str, status: int) -> None:
    node.sharing.mod_list.append(stored_mod(MOD_ID[:-1] + b"\1", "hats"))
    assert status_of("rm", text) == status
    assert all(asked[0] != "remove" for asked in node.asked)
