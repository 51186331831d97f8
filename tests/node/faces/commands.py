"""Commands, run in this process: with which status they end, and their JSON."""

import json
from typing import Any

import pytest

from node.faces.cli.main import main


def status_of(*args: str) -> int:
    """The exit status of `modswarm` with these arguments."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def told_by(capsys: pytest.CaptureFixture[str], *args: str, status: int = 0) -> Any:
    """The one JSON document that a command with this status prints."""
    assert status_of(*args, "--json") == status
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])
