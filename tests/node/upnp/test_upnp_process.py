"""The process that talks to the router: what it costs when what answers is late, or has no end."""

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.upnp import process
from node.upnp.process import UpnpProcess
from protocol.errors import RouterRefused

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the end is seen by a pidfd")

END_S = 20.0
"""A process that is still there hangs; a busy machine is no defect."""

HANGS = "import sys; sys.stdin.read()"
FLOODS = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
ENDS = "raise SystemExit"
LIES = "import sys\nfor line in sys.stdin: print({!r}, flush=True)"
LATE = """
import json, sys
for line in sys.stdin:
    number, name, arguments = json.loads(line)
    if name != "hang":
        print(json.dumps([number - 1, True, "late"]))
        print(json.dumps([number, True, name]), flush=True)
"""
REFUSES = """
import json, sys
for line in sys.stdin:
    print(json.dumps([json.loads(line)[0], False, "ConflictInMappingEntry"]), flush=True)
"""


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def started(tmp_path: Path, text: str) -> UpnpProcess:
    program = tmp_path / "program.py"
    program.write_text(text)
    return await UpnpProcess.start(program)


@posix
@pytest.mark.real_loop
@pytest.mark.parametrize(
    "text",
    [HANGS, FLOODS, ENDS, *(LIES.format(line) for line in ("null", "[]", "{", "[1, true]", "7"))],
)
async def test_a_process_that_is_late_or_answers_nonsense_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(process, "TIME_LIMIT_S", 1.0)
    asked = await started(tmp_path, text)
    with pytest.raises(TimeoutError):
        await asked.call("discover", 1000)
    assert not is_there(asked.pid)
    with pytest.raises(TimeoutError):
        await asked.call("discover", 1000)
    await asked.close()


@pytest.mark.real_loop
async def test_the_answer_of_a_call_that_was_given_up_is_no_later_ones(tmp_path: Path) -> None:
    asked = await started(tmp_path, LATE)
    hanging = asyncio.ensure_future(asked.call("hang"))
    await asyncio.sleep(0)
    hanging.cancel()
    await asyncio.wait({hanging})
    assert await asked.call("mapped", "TCP", 4001) == "mapped"
    await asked.close()


@pytest.mark.real_loop
async def test_a_refusal_has_its_code(tmp_path: Path) -> None:
    asked = await started(tmp_path, REFUSES)
    with pytest.raises(RouterRefused) as caught:
        await asked.call("add", "TCP", 1, 1, 0)
    assert caught.value.code == process.CONFLICT
    await asked.close()


PARENT = """
import asyncio
from node.upnp.process import UpnpProcess

async def main():
    asked = await UpnpProcess.start()
    asking = asyncio.ensure_future(asked.call("discover", 600_000))
    await asyncio.sleep(1)
    print(asked.pid, flush=True)
    await asking

asyncio.run(main())
"""


@linux
def test_the_process_ends_when_its_node_is_killed(tmp_path: Path) -> None:
    """In the middle of a call that lasts."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        ending = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        ready, _, _ = select.select([ending], [], [], END_S)
        os.close(ending)
    assert ready, "the process is an orphan"


def gateway(mode: str) -> dict[str, object]:
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("a network namespace of its own needs root, unshare and iproute2")
    python = (sys.executable, "-m", "tests.node.upnp.gateway", mode)
    told = subprocess.run(
        (unshare, "--net", *python), capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    found: dict[str, object] = json.loads(told.stdout)
    return found


CHILD_MB = 100


@posix
@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("honest", ["5.0.1.1", *[[True, 4001]] * 3]),
        ("odd", ["5.0.1.1", [True, 4001], [False, 99_999 - 2**16], [True, 4001]]),
        ("trickle", "the router refuses: it does not say in time what it is (UPnP error 501)"),
        ("huge", None),
    ],
)
def test_a_gateway_in_the_local_network_costs_its_process_alone(mode: str, found: object) -> None:
    """By miniupnpc itself, and what answers it over HTTP. It keeps 5 digits of a port."""
    told = gateway(mode)
    assert told["found"] == found
    assert told["left"] == 0, "a process is left"
    assert told["threads"] == ["asyncio_0"], "more than the look-up of a name has a thread"
    memory = told["child_mb"]
    assert isinstance(memory, float)
    assert memory < CHILD_MB
