"""Errors over the control API: the table is complete, and each comes back as what it was."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import node
import protocol
from node.faces.api import errors
from node.faces.api.schemas import COMPONENTS
from node.faces.api.validation import check
from node.faces.cli import exits
from node.faces.cli.main import main
from node.links.failure import LinkAttemptFailed
from node.links.stages import Stage
from protocol.errors import LinkFailed, ModswarmError
from protocol.identity import peer_id_text
from tests.node.faces.fake_node import PEER, served_in_thread

INTERNAL = {
    "different": "raised and shown by the demo, which is no node",
    "malformed_chunk": "counted inside the association",
    "process_failed": "raised and shown by the demo, which is no node",
    "protocol_violation": "ends the association with an event",
}
"""Errors that no answer of the control API can name, and why."""


def everything(kind: type[ModswarmError]) -> Iterator[type[ModswarmError]]:
    for child in kind.__subclasses__():
        yield child
        yield from everything(child)


def test_every_error_that_reaches_a_face_is_in_the_table() -> None:
    for package in (protocol, node):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    product = [
        kind for kind in everything(ModswarmError) if kind.__module__.startswith(("node.", "proto"))
    ]
    names = {kind.name: kind for kind in product}
    assert len(names) == len(product), "two errors have one name"
    assert {
        name: kind for name, kind in names.items() if name not in INTERNAL
    } == errors.ERROR_KINDS
    assert not INTERNAL.keys() & errors.ERROR_KINDS.keys()


def made(kind: type[ModswarmError]) -> ModswarmError:
    if kind is LinkAttemptFailed:
        return LinkAttemptFailed(Stage.ICE, "no pair works", ("a to b: timed out", "c to d"))
    return kind("a sentence")


@pytest.mark.parametrize("kind", errors.ERROR_KINDS.values(), ids=lambda kind: kind.name)
def test_an_error_comes_back_as_what_it_was(kind: type[ModswarmError]) -> None:
    error = made(kind)
    told = errors.as_json(error)
    check(told, COMPONENTS["Failure"], COMPONENTS)
    back = errors.from_json(told)
    assert back is not None
    assert type(back) is kind
    assert (back.name, str(back)) == (error.name, str(error))
    assert exits.exit_status_of(back) == exits.exit_status_of(error)
    assert vars(back) == vars(error)


def test_a_failed_link_keeps_its_stage_its_reason_and_what_was_tried() -> None:
    back = errors.from_json(errors.as_json(made(LinkAttemptFailed)))
    assert isinstance(back, LinkAttemptFailed)
    assert (back.stage, back.reason) == (Stage.ICE, "no pair works")
    assert back.tried == ("a to b: timed out", "c to d")
    assert exits.exit_status_of(back) == exits.NETWORK


@pytest.mark.parametrize(
    "details",
    [None, [], {}, {"stage": "x", "reason": "", "tried": []}, {"stage": "ice", "tried": 1}],
)
def test_a_failed_link_without_its_details_is_a_failed_link_still(details: object) -> None:
    told = {"name": "link_attempt_failed", "message": "no link", "details": details}
    back = errors.from_json({"error": told})
    assert type(back) is LinkFailed
    assert str(back) == "no link"


@pytest.mark.parametrize("answer", [None, [], {}, {"error": "x"}, {"result": {}}])
def test_what_holds_no_error_is_none(answer: object) -> None:
    assert errors.from_json(answer) is None


def test_an_error_of_another_version_is_a_plain_one() -> None:
    back = errors.from_json({"error": {"name": "of_tomorrow", "message": "later"}})
    assert (type(back), str(back)) == (ModswarmError, "later")


def test_notes_are_told_with_the_message() -> None:
    error = LinkFailed("no link")
    error.add_note("node 3 said: the disk is full")
    told = errors.as_json(error)["error"]
    assert told["message"] == "no link; node 3 said: the disk is full"


def test_a_failed_connect_ends_with_the_status_of_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_in_thread(tmp_path) as node:
        node.failure = made(LinkAttemptFailed)
        with pytest.raises(SystemExit) as ended:
            main(["connect", peer_id_text(PEER), "--home", str(tmp_path), "--json"])
    assert ended.value.code == exits.NETWORK
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["details"]["stage"] == "ice"
    assert "no link, it failed at ice: no pair works" in shown.err
