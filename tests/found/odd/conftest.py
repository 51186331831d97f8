"""The node that answers from memory, behind a real control API, in the home that commands use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.faces.fake_node import FakeNode, served_in_thread


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """The current folder is `tmp_path`."""
    home = tmp_path / "home"
    monkeypatch.setenv("MODSWARM_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    with served_in_thread(home) as fake:
        yield fake
