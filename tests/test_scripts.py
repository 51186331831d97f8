"""What the scripts install: each what it needs, once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="scripts for a POSIX shell")

PYTHON = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/../asked"
"""

EXTRAS = {
    "audit": "test,simulations,bench",
    "bench": "bench",
    "bench attack --hostile": "bench,test,simulations",
    "check": "test,simulations",
    "fuzz": "fuzz",
    "modswarm": "",
    "modswarm simulate": "simulations",
    "netlab": "",
    "test": "test,simulations",
}
"""What each script needs besides the product."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv has a Python that only notes what it is asked."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def installed_by(checkout: Path, command: str) -> list[str]:
    """What pip is asked to install when a script is called."""
    asked = checkout / ".venv" / "asked"
    asked.unlink(missing_ok=True)
    name, *words = command.split()
    subprocess.run(
        [checkout / "scripts" / name, *words],
        env={
            **os.environ,
            "MODSWARM_PYTHON": sys.executable,
            "MODSWARM_VENV": str(checkout / ".venv"),
        },
        check=False,
        capture_output=True,
        timeout=60,
    )
    lines = asked.read_text().splitlines()
    return [line.split()[-1] for line in lines if line.startswith("-m pip install")]


@pytest.mark.parametrize("command", EXTRAS)
def test_a_script_installs_what_it_needs_once(checkout: Path, command: str) -> None:
    extras = EXTRAS[command]
    wanted = f"{checkout}[{extras}]" if extras else str(checkout)
    assert installed_by(checkout, command) == [wanted]
    assert installed_by(checkout, command) == []


def test_extras_are_added_and_kept(checkout: Path) -> None:
    assert installed_by(checkout, "modswarm") == [str(checkout)]
    assert installed_by(checkout, "test") == [f"{checkout}[test,simulations]"]
    assert installed_by(checkout, "modswarm simulate") == []
    assert installed_by(checkout, "bench") == [f"{checkout}[bench]"]
    assert installed_by(checkout, "test") == installed_by(checkout, "bench") == []


def test_a_changed_setup_installs_anew(checkout: Path) -> None:
    installed_by(checkout, "test")
    with (checkout / "setup.cfg").open("a") as file:
        file.write("\n")
    assert installed_by(checkout, "modswarm") == [str(checkout)]
    assert installed_by(checkout, "test") == [f"{checkout}[test,simulations]"]


ENV = """#!/bin/sh
if [ "$2" = true ]; then kill -INT $PPID; exit 0; fi
exec /usr/bin/env "$@"
"""


@pytest.mark.parametrize(("command", "status"), [("ls", 130), ("run", 0)])
def test_ctrl_c_before_python_starts_is_not_forgotten(
    checkout: Path, command: str, status: int
) -> None:
    """It comes while a program runs that does not die of it."""
    installed_by(checkout, "modswarm")
    (checkout / "bin").mkdir()
    (checkout / "bin" / "env").write_text(ENV)
    (checkout / "bin" / "env").chmod(0o755)
    done = subprocess.run(
        [checkout / "scripts" / "modswarm", command],
        env={
            **os.environ,
            "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}",
            "MODSWARM_VENV": str(checkout / ".venv"),
        },
        check=False,
        timeout=60,
    )
    assert done.returncode == status
    asked = (checkout / ".venv" / "asked").read_text()
    assert f"-P -m node {command}" not in asked.splitlines()


def test_every_script_is_listed_and_names_extras_that_there_are() -> None:
    names = {
        path.name
        for path in (ROOT / "scripts").iterdir()
        if path.is_file() and os.access(path, os.X_OK)
    }
    assert names == {command.split()[0] for command in EXTRAS}
    setup = (ROOT / "setup.cfg").read_text()
    for extras in EXTRAS.values():
        assert all(f"\n{extra} =" in setup for extra in extras.split(",") if extra)
