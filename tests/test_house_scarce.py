"""The table of scarce things in ARCHITECTURE.md: what it names is there, and none is left out."""

import re

import pytest

from tests.test_house_rules import ROOT

COLUMNS = 5
TITLE = "## What is scarce and can be filled from outside\n"


def rows() -> list[list[str]]:
    """The cells of each row: thing, who, how long, how it is won back, tests."""
    _, _, section = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition(TITLE)
    table = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_says_who_how_long_and_how_and_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == COLUMNS
    assert all(row)
    assert named(row[-1])
    for name in named(row[-1]):
        assert (ROOT / "tests" / f"{name}.py").is_file(), name


def test_each_attacker_stands_in_a_row_and_no_thing_in_two() -> None:
    things = [row[0] for row in rows()]
    assert len(set(things)) == len(things) > 0
    files = (ROOT / "tests/hostile").rglob("test_*.py")
    attackers = {path.relative_to(ROOT / "tests").with_suffix("").as_posix() for path in files}
    assert attackers == {name for row in rows() for name in named(row[-1]) if name in attackers}
