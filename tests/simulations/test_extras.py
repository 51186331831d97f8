"""What a plain installation lacks is named, with how to get it, before anything long runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.faces.cli.main import main as modswarm
from simulations.command_line import main
from simulations.errors import ExtraMissing
from simulations.harness import extras

ROOT = Path(__file__).parents[2]

PLAIN = (
    "import sys\n"
    "for name in ('matplotlib', 'numpy', 'psutil', 'ray'):\n"
    "    sys.modules[name] = None\n"
    "from node.faces.cli.main import main\n"
    "main({words!r})\n"
)


def in_plain_installation(*words: str) -> "subprocess.CompletedProcess[str]":
    """`modswarm` in a process that cannot import what only extras bring."""
    program = PLAIN.format(words=list(words))
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_a_plain_installation_lists_and_runs_experiments() -> None:
    listed = in_plain_installation("simulate", "list")
    assert listed.returncode == 0, listed.stderr
    assert "flood" in listed.stdout
    small = ("--nodes", "6", "--pairs", "1", "--json")
    ran = in_plain_installation("simulate", "run", "connect", *small)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])["seed"] == 1


@pytest.mark.parametrize(
    ("words", "lacking"),
    [
        (("run", "connect", "--out", "results"), "matplotlib"),
        (("run", "flood"), "psutil"),
    ],
)
def test_what_is_missing_is_a_sentence(words: tuple[str, ...], lacking: str) -> None:
    told = in_plain_installation("simulate", *words)
    first, *rest = told.stderr.splitlines()
    assert told.returncode == 1
    assert first.startswith(f"ExtraMissing: this needs {lacking}")
    assert f"pip install --editable '{ROOT}[simulations]'" in first
    assert rest == [f"Repeat it with: modswarm simulate {' '.join(words)}"]
    assert not (ROOT / "results").exists()


def test_outside_a_checkout_the_command_is_that_of_pipx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "_CHECKOUT", tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtraMissing, match=r"pipx install --force '\.\[ray\]'"):
        extras.require("ray", "ray")


def test_a_defect_of_a_library_is_no_missing_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        extras.require("broken_library")


def test_simulate_takes_every_word_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["modswarm"])
    for words in (["--help"], ["run", "lookup", "--help"]):
        with pytest.raises(SystemExit) as ended:
            modswarm(["simulate", *words])
        assert ended.value.code == 0
        assert f"usage: modswarm simulate {' '.join(words[:-1])}".strip() in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        modswarm(["simulate", "run", "nothing"])
    assert ended.value.code == 2
    assert main(["list"]) == 0
