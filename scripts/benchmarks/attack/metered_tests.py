"""A pytest plugin that runs each test in a process of its own, and tells its memory and CPU.

`memory_MB` is how far the resident memory of that process rose above what it began with, without
mapped files; `cpu_s` is its CPU and that of programs which it ran. Attackers, honest nodes and the
simulated network all count, so both are upper bounds of what the attack takes of a node. A test
that records `alone_s` has done the same without the attack until then, and what that took is
recorded beside it.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import execnet
import pytest
from _pytest.runner import runtestprotocol

_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
_BYTES_OF_MB = 1e6
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Spent:
    """MB of resident memory at the most, and seconds of CPU."""

    memory_mb: float
    cpu_s: float

    @classmethod
    def so_far(cls) -> "Spent":
        """By this process."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        others = resource.getrusage(resource.RUSAGE_CHILDREN)
        memory = own.ru_maxrss * _MAXRSS_BYTES - _mapped_bytes()
        cpu_s = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
        return cls(memory / _BYTES_OF_MB, cpu_s)

    def record(self, began: "Spent", to: Callable[[str, Any], object], when: str = "") -> None:
        """Tell what was taken since then."""
        to(f"{when}memory_MB", round(self.memory_mb - began.memory_mb, 1))
        to(f"{when}cpu_s", round(self.cpu_s - began.cpu_s, 2))


def _mapped_bytes() -> int:
    """Of files, libraries above all: a process that was forked maps them only as it uses them."""
    if not _STATM.exists():
        return 0
    return int(_STATM.read_text().split()[2]) * resource.getpagesize()


_BEGAN = pytest.StashKey[Spent]()


@pytest.fixture
def record_property(
    request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]
) -> Callable[[str, Any], None]:
    """As pytest's."""

    def record(name: str, value: Any) -> None:
        record_property(name, value)
        if name == "alone_s":
            Spent.so_far().record(request.node.stash[_BEGAN], record_property, "alone_")

    return record


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool:
    """Run it in a process that begins as this one is, without anything of other tests."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports(item: pytest.Item) -> list[pytest.TestReport]:
    """Of set-up, call and teardown."""
    item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    timer = signal.setitimer(signal.ITIMER_REAL, 0)  # the test's time limit goes with it
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            with os.fdopen(writer, "wb") as file:
                _run(item, file)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    if not told:
        return [_died(item, os.waitstatus_to_exitcode(status))]
    hook, config = item.config.hook, item.config
    return [
        hook.pytest_report_from_serializable(config=config, data=one) for one in execnet.loads(told)
    ]


def _run(item: pytest.Item, file: IO[bytes]) -> None:
    item.stash[_BEGAN] = began = Spent.so_far()
    reports = runtestprotocol(item, log=False)
    Spent.so_far().record(began, lambda *named: reports[-1].user_properties.append(named))
    hook, config = item.config.hook, item.config
    data = [hook.pytest_report_to_serializable(config=config, report=one) for one in reports]
    file.write(execnet.dumps(data))


def _died(item: pytest.Item, status: int) -> pytest.TestReport:
    why = f"its process ended with status {status}"
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")
