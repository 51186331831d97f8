"""What attackers take is measured on a process of each, and told beside honest people's times."""

import sys
from pathlib import Path

import pytest

from scripts.benchmarks.attack.hostile_tests import hostile_tests

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")

ATTACKS = """
import os, time
import pytest

def test_that_takes_much(record_property):
    held = b"x" * 20_000_000
    del held
    record_property("alone_s", 1.25)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    held = [b"x" * 1_000_000 for _ in range(50)]
    record_property("attackers", 10)
    for seconds in (1.5, 2.5, 2.0):
        record_property("attacked_s", seconds)
    print("3 of 4 links kept")

def test_that_takes_nothing():
    pass

def test_that_breaks():
    assert False

def test_that_dies():
    os.kill(os.getpid(), 9)

@pytest.mark.skip(reason="no nft here")
def test_that_cannot_run():
    pass
"""


def test_memory_and_cpu_of_each_attacker_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "0")
    file = tmp_path / "test_some_attack.py"
    file.write_text(ATTACKS)
    told = hostile_tests([str(file)])
    rows = {name.removeprefix(f"{file.name}::"): row for name, row in told["attackers"].items()}
    much, nothing = rows["test_that_takes_much"], rows["test_that_takes_nothing"]
    assert (much["outcome"], much["alone_s"], much["attackers"]) == ("held", 1.25, 10)
    assert much["attacked_s"] == 2.5
    assert much["printed"] == "3 of 4 links kept"
    assert 19 < much["alone_memory_MB"] < 23
    assert 48 < much["memory_MB"] < 55
    assert much["memory_kB_per_attacker"] == pytest.approx(3000, rel=0.2)
    assert 0.25 < much["cpu_s"] < 1.0
    assert 25 < much["cpu_ms_per_attacker"] < 100
    assert (nothing["outcome"], nothing["cpu_s"]) == ("held", pytest.approx(0, abs=0.05))
    assert nothing["memory_MB"] < 1
    assert rows["test_that_cannot_run"]["why"] == "no nft here"
    assert rows["test_that_dies"]["why"] == "its process ended with status -9"
    assert next(iter(told["most"]["memory_MB"])) == f"{file.name}::test_that_takes_much"
    broken = ("test_that_breaks", "test_that_dies")
    assert told["failed"] == [f"{file.name}::{name}" for name in broken]
