"""Few file descriptors: no traceback, the right advice, nothing lost, and a node that goes on.

The table itself is tested in tests/node/machine/test_refusals.py.
"""

import ast
import asyncio
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.content.vault.store import Store
from node.faces.api import details
from node.faces.cli import exits
from node.faces.cli.client import ControlClient
from node.files import writing
from node.machine import descriptors
from protocol.content import sealing
from protocol.errors import DiskError, OutOfResources
from tests.identities import give_identities
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import FakeNode, served_in_thread
from tests.test_house_rules import PRODUCT, name_of, sources, tree_of

ADVICE = "ulimit -n"
ROOM = "Make room"
BOUND_S = 60.0


def no_more(*_: object, **__: object) -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("place", ["socket.create_connection", "pathlib.Path.open"])
def test_a_command_without_descriptors(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.setattr(place, no_more)
    assert status_of("ls") == exits.FAILURE
    told = capsys.readouterr().err
    assert "no more files open" in told
    assert ADVICE in told
    assert ROOM not in told
    assert "defect" not in told


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit of POSIX")
@pytest.mark.parametrize("most", [6, 16])
def test_a_node_that_may_open_hardly_a_file(tmp_path: Path, most: int) -> None:
    give_identities([tmp_path / "home"])
    code = (
        "import resource, sys; from node.faces.cli.main import main;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}));"
        "main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--home", tmp_path / "home", "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == exits.FAILURE
    assert ADVICE in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert ROOM not in done.stderr


def test_the_nodes_refusal_reaches_the_person_with_its_advice(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OutOfResources) as raised, writing(Path("vault")):
        no_more()
    node.failure = raised.value
    assert status_of("share", "hats") == exits.FAILURE
    assert ADVICE in capsys.readouterr().err
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(DiskError) as told, writing(Path("vault")):
        raise full
    node.failure = told.value
    assert status_of("share", "hats") == exits.DISK
    assert ROOM in capsys.readouterr().err
    again = details.from_json(details.as_json(raised.value))
    assert (type(again), again and str(again)) == (OutOfResources, str(raised.value))


def test_a_vault_without_descriptors_forgets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"verified"
    address = sealing.address_of(data)
    store = Store(tmp_path / "vault")
    assert store.put([(address, data)]) == []
    with monkeypatch.context() as lacking:
        lacking.setattr(Path, "open", no_more)
        assert store.get(address) is None  # as for now
    assert store.get(address) == data
    store.close()


def test_a_node_asks_for_as_many_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    limits = [(256, resource.RLIM_INFINITY), (16, 16), (64, 512), (65536, 65536)]
    for soft, hard in limits:
        asked: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda _, now=(soft, hard): now)
        monkeypatch.setattr(resource, "setrlimit", lambda _, wanted, to=asked: to.append(wanted))
        descriptors.allow_many()
        wanted = {256: [(descriptors.WANTED, hard)], 64: [(512, 512)]}
        assert asked == wanted.get(soft, [])


def test_a_node_that_has_run_out_serves_again_when_some_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More control connections than there are descriptors: the node lives and answers later."""
    whole, left = socket.socket.accept, [3]

    def accept(listening: socket.socket) -> Any:
        if left[0] > 0:
            left[0] -= 1
            no_more()
        return whole(listening)

    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.01)
    monkeypatch.setattr(socket.socket, "accept", accept)
    with served_in_thread(tmp_path / "home"):
        assert ControlClient(tmp_path / "home").get("/v1/status")["contacts"] == 3
    assert left == [0]


def test_what_ran_out_is_told_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    message = "socket.accept() out of system resource"
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    descriptors.tell_exhaustion(loop, {"message": message, "exception": error})
    assert caplog.messages == [f"{message}: this process may have no more files open"]
    assert caplog.records[0].exc_info is None
    descriptors.tell_exhaustion(loop, {"message": "other", "exception": KeyError("defect")})
    assert "defect" in caplog.text
    loop.close()


@pytest.mark.parametrize("path", sources(*PRODUCT), ids=name_of)
def test_no_place_words_an_os_error_by_itself(path: Path) -> None:
    words = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)]
    said = [one for one in words if one.attr == "strerror" and ast.unparse(one) != "os.strerror"]
    if name_of(path) != "node/machine/refusals.py":
        assert [one.lineno for one in said] == []
