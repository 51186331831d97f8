"""18: what people read is whole, in their words, in columns, and steers no terminal."""

import errno
import json
import logging
import re
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from node.answers.mods import Announcement
from node.content.assemble.place import _folder_name
from node.content.publish.own_lineages import checked_name
from node.faces.api import details, errors
from node.faces.api.details import REMADE
from node.faces.api.routes import ROUTES
from node.faces.api.validation import check
from node.faces.cli import exits, output
from node.faces.cli.running import RunOutput
from node.faces.log import PrintableFormatter
from node.home import check_folder
from node.links.failure import LinkAttemptFailed
from node.links.stages import Stage
from node.machine.control_file import is_node_running
from protocol import limits
from protocol.causes.cause import Cause
from protocol.causes.network_kind import NetworkKind
from protocol.content.file_paths import check_name
from protocol.errors import (
    CallFailed,
    DiskError,
    ModswarmError,
    NetworkError,
    TimedOut,
    Unreachable,
    UnsafePath,
)
from protocol.identity import peer_id_text
from protocol.texts import characters
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import MOD_ID, PEER, FakeNode, stored_mod

UNSEEN_NAMES = (" ", "\u3000", "\u200b", "\ufeff\u2060", "\u00ad", "\u115f", "\u2800", "\U000e0020")
STEERING = (
    "\u202e",
    "\u202a",
    "\u2066",
    "\u2069",
    "\u2028",
    "\x1b",
    "\x07",
    "\r",
    "\x9b",
    "\ud800",
)

# A read-only home ------------------------------------------------------------------------


def test_a_home_that_cannot_be_read_or_written_ends_with_the_status_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(home))

    for method in ("iterdir", "mkdir"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, refuse)
            assert status_of("run", "--home", str(home)) == exits.DISK
    told = capsys.readouterr().err
    for what in (f"cannot use {home} as a home", f"cannot write {home}"):
        assert f"Error: {what}: this user may not do that there." in told


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_command_that_only_reads_works_in_a_read_only_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "lock").touch()
    open_file = Path.open

    def opened(self: Path, mode: str = "r", **more: Any) -> Any:
        if "+" in mode or "w" in mode or "a" in mode:
            raise OSError(code, "no writing here", str(self))
        return open_file(self, mode, **more)

    monkeypatch.setattr(Path, "open", opened)
    assert not is_node_running(tmp_path)
    assert status_of("status", "--home", str(tmp_path)) == exits.NOT_RUNNING


def test_what_is_no_folder_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModswarmError, match="cannot use") as caught:
        check_folder(tmp_path / "file")
    assert not isinstance(caught.value, DiskError)


# Names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNSEEN_NAMES)
def test_a_name_without_a_visible_character_is_refused(
    node: FakeNode, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert status_of("share", "hats", "--name", name) == exits.USAGE
    assert "it is blank; give a name for the mod" in capsys.readouterr().err
    assert node.asked == []
    (schema,) = [
        route.body for route in ROUTES if (route.method, route.path) == ("POST", "/v1/mods")
    ]
    assert schema is not None
    with pytest.raises(errors.BadRequest, match=r"^'name' is empty; it is: What the mod is called"):
        check({"path": "/x", "name": name}, schema, {})
    with pytest.raises(UnsafePath):
        checked_name(name)


@pytest.mark.parametrize("name", UNSEEN_NAMES)
def test_a_publisher_s_name_without_a_visible_character_names_no_folder(name: str) -> None:
    assert _folder_name(name, MOD_ID).startswith("mod-")


@pytest.mark.parametrize("character", STEERING)
def test_no_folder_is_named_by_what_steers_a_terminal_or_turns_text(character: str) -> None:
    assert _folder_name(f"hats{character}gpj.exe", MOD_ID).startswith("mod-")
    with pytest.raises(UnsafePath):
        check_name(f"hats{character}gpj.exe")


@pytest.mark.parametrize(
    "name", ["Hüte", "モデル", "👩\u200d👩\u200d👧 mod", "کتاب\u200cها", "e\u0301"]
)
def test_names_of_all_languages_are_names(name: str) -> None:
    assert check_name(name) == name
    assert output.printable(name) == name


# Fields and bounds -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["share", "hats", "--name", "x" * 201], "'--name': it is longer than 200 characters"),
        (["share", "x/" * 2100], "'PATH': it is longer than 4096 characters"),
        (["share", "x/" * 2047], "the whole path has more than 4096 characters"),
        (["connect", "x" * 8193], "'PEER': it is longer than 8192 characters"),
        (["rm", "x" * 8193], "'MOD': it is longer than 8192 characters"),
        (["get", "x" * 8193], "'[LINK]': it is longer than 8192 characters"),
    ],
)
def test_a_bound_is_told_by_the_name_of_the_option(
    node: FakeNode, capsys: pytest.CaptureFixture[str], line: list[str], told: str
) -> None:
    assert status_of(*line) == exits.USAGE
    shown = capsys.readouterr().err
    assert told in shown
    assert "body" not in shown
    assert node.asked == []


SAMPLES = {"string": "x", "integer": 1}  # a value of each type that a body may require


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body], ids=lambda one: one.path
)
def test_the_api_names_its_fields_as_they_are_sent(route: Any) -> None:
    schemas = route.body["properties"]
    for name, schema in schemas.items():
        wrong: Any = "x" * (schema["maxLength"] + 1) if "maxLength" in schema else [1]
        whole = {one: SAMPLES[schemas[one]["type"]] for one in route.body["required"]}
        whole[name] = wrong
        with pytest.raises(errors.BadRequest) as caught:
            check(whole, route.body, {})
        assert str(caught.value).startswith((f"'{name}' ", f"'{name}[0]' "))
    with pytest.raises(errors.BadRequest, match=r"^the body must be of the type object"):
        check(7, route.body, {})


# Tables ----------------------------------------------------------------------------------

WIDE = ("hats", "モデル", "한글", "👩\u200d👩\u200d👧", "e\u0301e\u0301", "\u200bx", "Ｗ", "")


def test_wide_characters_do_not_shift_tables(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.mod_list = [stored_mod(bytes([n] * 32), name) for n, name in enumerate(WIDE)]
    assert status_of("ls") == exits.OK
    heading, *rows = capsys.readouterr().out.splitlines()
    starts = [cell_len(row[: row.index("2023-11-1")]) for row in rows]
    assert starts == [heading.index("ADDED")] * len(WIDE)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=5))
def test_the_second_column_begins_where_its_heading_does(rows: list[tuple[str, str]]) -> None:
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click, "echo", lambda text, err=False: told.append(text))
        output.show_table(("A", "B"), [(first, f"|{second}") for first, second in rows], "none")
    at = told[0].index("B")
    for line, (first, _) in zip(told[1:], rows, strict=True):
        before = output.printable(first)
        assert line.startswith(before)
        assert cell_len(before) + len(line[len(before) : line.index("|", len(before))]) == at


# Outside strings -------------------------------------------------------------------------


@pytest.mark.parametrize("character", STEERING)
def test_what_a_peer_sends_steers_neither_terminal_nor_log(
    node: FakeNode, capsys: pytest.CaptureFixture[str], character: str
) -> None:
    node.pool.failure = CallFailed(f"because{character}of")
    assert status_of("connect", peer_id_text(PEER)) == exits.NETWORK
    node.sharing.mod_list = [stored_mod(MOD_ID, f"hats{character}x")]
    assert status_of("ls") == exits.OK
    told = "".join(capsys.readouterr())
    record = logging.LogRecord("x", logging.INFO, "x", 1, "ended: %s", (f"a{character}b",), None)
    told += PrintableFormatter().format(record)
    assert character not in told.replace("\r\n", "\n")
    assert "because?of" in told
    assert "hats?x" in told


@pytest.mark.parametrize(
    "line", [["sta{}tus"], ["status", "{}"], ["status", "--no{}ne"], ["get", "--max-size", "{}x"]]
)
@pytest.mark.parametrize("character", [one for one in STEERING if one != "\r"])
def test_a_word_of_the_command_line_steers_no_terminal(
    capsys: pytest.CaptureFixture[str], line: list[str], character: str
) -> None:
    assert status_of(*(word.format(f"a{character}b") for word in line)) == exits.USAGE
    told = capsys.readouterr().err
    assert character not in told
    assert re.search(r"[^.][.?!]\n$", told)


def test_blanks_of_other_widths_are_shown_as_blanks() -> None:
    assert output.printable("a\u00a0b\u3000c") == "a b c"


@given(st.text())
def test_what_is_shown_has_nothing_that_steers(text: str) -> None:
    shown = characters.printable(text)
    assert all(char.isprintable() or char in "\u200c\u200d" for char in shown)


# Sentences -------------------------------------------------------------------------------

NOT_IN_SENTENCES = re.compile(r"  |\.\.|\(\)|\[\]|None(?! of)|\s\.|;\.|:\.|,\.|\{|\}")


def assert_sentences(text: str) -> None:
    """Every line begins with a capital letter or a command, and ends with one full stop."""
    for line in text.splitlines():
        assert re.match(r"[A-Z`]", line), line
        assert re.search(r"[^.][.!?]$", line), line
        assert not NOT_IN_SENTENCES.search(line), line


TOLD_OTHERWISE = {errors.Unauthorized, errors.TooManyConnections}
"""The client says something else, or asks again."""


def is_plain(kind: type[ModswarmError]) -> bool:
    """Whether its message is all that it is made of."""
    return kind.name not in REMADE and kind not in TOLD_OTHERWISE


FAILURES: list[ModswarmError] = [
    *(NetworkError(cause=cause) for cause in Cause),
    *(NetworkError("it did not work", cause=cause) for cause in Cause),
    *(LinkAttemptFailed(Stage.ICE, "no answer", cause=cause) for cause in (None, *Cause)),
    *(kind("no answer") for kind in details.ERROR_KINDS.values() if is_plain(kind)),
    *(TimedOut("no answer"), Unreachable("no answer."), NetworkError("is it so?")),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_an_error_and_its_advice_are_whole_sentences(
    node: FakeNode, capsys: pytest.CaptureFixture[str], error: ModswarmError
) -> None:
    node.failure = error
    assert status_of("status") == exits.exit_status_of(error)
    told = capsys.readouterr().err
    assert_sentences(told)
    advice = exits.advice_for(error)
    assert told.endswith(f"{advice}\n")


@pytest.mark.parametrize("kind", [*Cause, *NetworkKind])
def test_a_cause_is_part_of_a_sentence_and_its_advice_is_whole(kind: Cause | NetworkKind) -> None:
    assert not re.match(r"[A-Z]", kind.sentence) or kind.sentence.startswith("UDP")
    assert_sentences(output.sentence(kind.sentence[0].upper() + kind.sentence[1:]))
    assert_sentences(kind.advice)


@pytest.mark.parametrize(
    ("cause", "confirmed", "refused"),
    [
        *((cause, 0, {}) for cause in Cause),
        (None, 3, {"key_full": 1, "timed_out": 1}),
        (None, 0, {"timed_out": 4}),
        *((None, 0, {name: 2, "timed_out": 1}) for name in details.ERROR_KINDS),
    ],
)
def test_what_share_tells_is_whole(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    cause: Cause | None,
    confirmed: int,
    refused: dict[str, int],
) -> None:
    node.sharing.announcement = Announcement(confirmed, 4, refused, cause=cause)
    assert status_of("share", "hats") == exits.OK
    told = capsys.readouterr().err
    assert told.endswith(":\n")  # the link follows
    told = told.replace(f":\n{node.sharing.lineage}\n", ".\n")
    assert_sentences(told.removesuffix(":\n") + ".")


@pytest.mark.parametrize("known", [0, 2])
def test_what_status_tells_of_joining_is_whole(
    node: FakeNode, capsys: pytest.CaptureFixture[str], known: int
) -> None:
    node.join_ms, node.known_nodes = None, known
    assert status_of("status") == exits.OK
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Joined")]
    assert not NOT_IN_SENTENCES.search(line.partition("  ")[2].strip())


@pytest.mark.parametrize("addresses", [[], ["127.0.0.1:1"], ["127.0.0.1:1", "[::1]:1"]])
@pytest.mark.parametrize("reachable", [None, True, False])
@pytest.mark.parametrize("asks_router", [True, False])
def test_the_welcome_of_a_node_is_whole(
    capsys: pytest.CaptureFixture[str],
    addresses: list[str],
    reachable: bool | None,
    asks_router: bool,
) -> None:
    told = RunOutput(Path("/h\x1bome"), as_json=False)
    status = {
        "peer_id": peer_id_text(PEER),
        "addresses": addresses,
        "reachable": reachable,
        "bootstrap_addresses": [f"{one}/{peer_id_text(PEER)}" for one in addresses],
        "streams": {"listening": addresses[:1]},
    }
    told.running(status, "127.0.0.1:2", asks_router=asks_router)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    for line in shown.splitlines():
        if line and not line.startswith("    "):
            assert re.match(r"[A-Z]", line)
            assert not NOT_IN_SENTENCES.search(line)
    if not addresses:
        assert "It listens nowhere, as this computer has no network address.\n" in shown


def test_json_has_no_raw_characters_either(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.mod_list = [stored_mod(MOD_ID, "hats\u202e")]
    assert status_of("ls", "--json") == exits.OK
    told = capsys.readouterr().out
    assert told.isascii()
    assert json.loads(told)["mods"][0]["name"] == "hats\u202e"
    assert limits.MOD_NAME_BYTES == 200


# Names of other encodings ----------------------------------------------------------------


def test_a_name_that_is_no_text_is_told_as_that_and_is_not_blank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the command line gives bytes of another encoding: each a half of a surrogate pair."""
    name = b"\xff\xfe".decode(errors="surrogateescape")
    assert not characters.is_blank(name)
    with pytest.raises(UnsafePath, match=r"is not text in UTF-8; give it another"):
        checked_name(f"caf{name}")
    assert status_of("ls", "--home", f"{tmp_path}/{name}") == exits.NOT_RUNNING
    assert status_of("ls", "--home", name) == exits.NOT_RUNNING
    assert "blank" not in capsys.readouterr().err


def test_a_separator_of_lines_is_not_told_as_a_turn_alone() -> None:
    with pytest.raises(UnsafePath, match="or breaks a line"):
        check_name("a\u2028b")
