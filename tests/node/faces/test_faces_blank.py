"""Empty and blank words: every argument, option, parameter and field refuses them, and says why.

A script's variable that is not set leaves one; as a path it would be the folder at hand.
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest

from node.faces.api.routes import ROUTES, Route
from node.faces.cli import exits
from node.faces.cli.main import modswarm
from node.faces.cli.terminal.words import PathWord, Word
from node.machine.control_file import read_control
from protocol.identity import base32_text, peer_id_text
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_following import LINEAGE
from tests.node.faces.fake_node import LINK, MOD_ID, PEER, FakeNode, served
from tests.node.faces.page_offer import page_body

BLANKS = ("", " ", "\t \n", "\u00a0")
GOOD = {
    "path": "hats",
    "mod": "hats",
    "folder": "www",
    "peer": peer_id_text(PEER),
    "target": "00" * 20,
    "download": "1",
    "link": str(LINEAGE),
    "name": "hats",
    "file": "keys",
    "count": "3",
}
"""Other arguments that a command needs."""
OWN_PARSER = {"simulate"}
"""Commands that hand their words on to another program's parser."""


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[Any]:
    """Every command with the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


TAKEN = [
    pytest.param(words, command, parameter, id=" ".join((*words, str(parameter.name))))
    for words, command in commands(modswarm)
    for parameter in command.params
    if words[0] not in OWN_PARSER and not getattr(parameter, "is_flag", False)
    if not getattr(parameter, "count", False)
]


def line_of(
    words: tuple[str, ...], command: click.Command, blank_one: click.Parameter, blank: str
) -> list[str]:
    """The words of a command line in which one parameter is blank and the others are good."""
    line = list(words)
    if isinstance(blank_one, click.Option):
        line += [blank_one.opts[0], blank]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            if parameter is blank_one:
                line.append(blank)
            elif parameter.required:
                line.append(GOOD[str(parameter.name)])
    return line


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(("words", "command", "parameter"), TAKEN)
def test_no_command_takes_a_blank_word(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    command: click.Command,
    parameter: click.Parameter,
    blank: str,
) -> None:
    line = line_of(words, command, parameter, blank)
    assert status_of(*line) == exits.USAGE
    told = capsys.readouterr().err.replace("[", "").replace("]", "")
    is_option = isinstance(parameter, click.Option)
    shown = parameter.opts[0] if is_option else str(parameter.name).upper()
    assert f"Error: Invalid value for '{shown}': " in told
    if isinstance(parameter.type, Word | PathWord):
        assert f"it is {'blank' if blank else 'empty'}; give " in told
    assert node.asked == []


def test_every_word_has_a_type_of_its_own() -> None:
    """A plain string would take a blank word."""
    plain = [one.id for one in TAKEN if one.values[2].type is click.STRING]  # type: ignore[union-attr]
    assert plain == []


def test_the_refusal_has_a_name_in_json(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    told = told_by(capsys, "share", "", status=exits.USAGE)
    assert told["error"]["name"] == "usage"
    assert told["error"]["message"] == (
        "Invalid value for 'PATH': it is empty; "
        "give the folder or the file to share, such as ./hats"
    )


def test_a_blank_home_in_the_environment_is_refused_and_an_empty_one_is_none(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODSWARM_HOME", " ")
    assert status_of("status") == exits.USAGE
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("MODSWARM_HOME", "")
    assert status_of("status") == exits.NOT_RUNNING


@pytest.mark.parametrize("given", ["", "\n", "  \n"])
def test_an_empty_link_from_a_pipe_or_a_file_is_told(
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    given: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    (tmp_path / "link").write_text(given)
    for line in (["-"], ["--link-file", "-"], ["--link-file", "link"]):
        assert status_of("get", *line) == exits.USAGE
        assert "Error: not a modswarm link: it is empty, and a link st" in capsys.readouterr().err
    assert node.asked == []


FIELDS = [
    pytest.param(route, name, id=f"{route.path} {name}")
    for route in ROUTES
    if route.body is not None
    for name, schema in route.body["properties"].items()
    if schema["type"] == "string"
]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/mods": {"path": "/x", "name": "Hats"},
    "/v1/downloads": {"link": str(LINK), "into": "/x"},
    "/v1/offers": {"link": str(LINK)},
    "/v1/origins": {"link": str(LINK)},
    "/v1/follows": {"link": str(LINEAGE), "to": "/x"},
    "/v1/versions": {"link": str(LINEAGE)},
    "/v1/lineages": {"lineage": "modswarm-lineage:abc"},
    "/v1/lineages/kept": {"name": "hats", "versions": 3},
    "/v1/lineages/export": {"name": "hats"},
    "/v1/exports": {"mod_id": base32_text(MOD_ID), "to": "/x"},
    "/v1/limits": {},
    "/v1/scrubs": {},
    "/v1/pins": {"mod_id": base32_text(MOD_ID)},
    "/v1/cache/refused": {"mod_id": base32_text(MOD_ID)},
    "/v1/downloads/queue": {"link": str(LINK), "into": "/x"},
    "/v1/downloads/{id}/resume": {},
    "/v1/connect": {"peer": peer_id_text(PEER)},
    "/v1/pages": page_body(),
}


async def asked(folder: Path, method: str, path: str, body: Any, **query: str) -> Any:
    """The status and the error that the API answers; the node must not hear of the request."""
    async with served(folder) as (node, _), aiohttp.ClientSession() as session:
        control = read_control(folder)
        assert control is not None
        headers = {"Authorization": f"Bearer {control[1]}"}
        url = f"http://{control[0]}{path}"
        async with session.request(method, url, json=body, params=query, headers=headers) as answer:
            assert node.asked == []
            return answer.status, json.loads(await answer.text())["error"]


@pytest.mark.real_loop
@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(("route", "name"), FIELDS)
async def test_no_body_of_the_api_has_a_blank_text(
    tmp_path: Path, route: Route, name: str, blank: str
) -> None:
    assert route.body is not None
    status, error = await asked(
        tmp_path, route.method, route.path.replace("{id}", "1"), BODIES[route.path] | {name: blank}
    )
    meaning = route.body["properties"][name]["description"]
    assert (status, error["name"]) == (400, "bad_request")
    assert error["message"] == f"'{name}' is empty; it is: {meaning}"


@pytest.mark.real_loop
@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(
    ("route", "name", "meaning"),
    [(route, name, meaning) for route in ROUTES for name, meaning in route.query],
)
async def test_no_parameter_of_the_api_is_blank(
    tmp_path: Path, route: Route, name: str, meaning: str, blank: str
) -> None:
    status, error = await asked(tmp_path, route.method, route.path, None, **{name: blank})
    assert (status, error["name"]) == (400, "bad_request")
    assert error["message"] == f"the parameter '{name}' is empty; it is: {meaning}"
