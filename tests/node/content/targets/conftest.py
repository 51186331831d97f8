"""Targets lie in memory, where that has room: what is flushed there costs nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.content.crashing.worlds import room_for_worlds


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with room_for_worlds(tmp_path) as folder:
        folder.mkdir()
        yield folder
