"""Real nodes behind the kernel's own NATs: a part of the lab, as a person starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.lab.net.spaces import PREFIX, why_not
from tests.test_house_rules import ROOT

missing = why_not()
pytestmark = [
    pytest.mark.skipif(missing is not None, reason=f"the lab needs more: {missing}"),
    pytest.mark.timeout(400),
]


def netlab(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (sys.executable, "-m", "scripts.lab", *options),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=380,
    )


def left_of(process: str) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"{PREFIX}-{process}-*")]


def test_every_router_behaves_as_its_kind_says() -> None:
    done = netlab("--probe")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lives after 27 s, is gone after 33 s" in done.stdout


def test_nodes_behind_routers_link_as_the_table_says(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = netlab("--only", "public,cone,port,twins", "--json", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(results.read_text())
    assert told["summary"]["as_expected"] == told["summary"]["pairs"] == 10
    assert {pair["way"] for pair in told["pairs"]} == {"direct"}


def test_an_unknown_kind_is_named() -> None:
    done = netlab("--only", "fullcone")
    assert done.returncode == 1
    assert "There is no kind 'fullcone'" in done.stderr
