"""The child process that talks to the router, and the bounds of what it may take.

What answers UPnP discovery may be any machine of the local network, and may send its answers a byte
a second or without end; miniupnpc bounds neither. So it has a process of its own, which is killed
once it is late, and nothing of the node waits for it or pays for what it reads.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from node.upnp import child
from protocol.errors import RouterRefused

TIME_LIMIT_S: Final = 5.0
"""For each call, and for the first together with the start of the process."""

_PROGRAM: Final = Path(child.__file__)

_LINE_BYTES: Final = 4096
"""More than any answer of the child: its texts are cut."""

INVALID_ARGS: Final = 402
OTHER_REASON: Final = 501
CONFLICT: Final = 718
ONLY_PERMANENT_LEASES: Final = 725

_CODES: Final = {
    "Invalid Args": INVALID_ARGS,
    "ConflictInMappingEntry": CONFLICT,
    "OnlyPermanentLeasesSupported": ONLY_PERMANENT_LEASES,
}
"""The codes of UPnP's WANIPConnection:2 that a node acts on, by the names that miniupnpc gives."""


class UpnpProcess:
    """A process that makes one call of miniupnpc after the other. `start` it, and `close` it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked = 0

    @classmethod
    async def start(cls, program: Path = _PROGRAM) -> "UpnpProcess":
        """Start one, of a session of its own: Ctrl-C does not end it before the node does.

        Raises OSError.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(program)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                limit=_LINE_BYTES,
            )
        )

    @property
    def pid(self) -> int:
        """Its number among the system's processes."""
        return self._process.pid

    async def call(self, name: str, *arguments: int | str) -> Any:
        """What a call returns; raises RouterRefused, or TimeoutError.

        The process is killed if it is late or ends: every further call raises TimeoutError.
        """
        self._asked += 1
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                ok, answer = await self._answer(self._asked, name, arguments)
        except (OSError, ValueError, TypeError, EOFError) as error:  # TimeoutError is an OSError
            await self.close()
            raise TimeoutError("it does not answer in time") from error
        if not ok:
            reason = str(answer)
            raise RouterRefused(_CODES.get(reason, OTHER_REASON), reason)
        return answer

    async def _answer(
        self, number: int, name: str, arguments: tuple[int | str, ...]
    ) -> tuple[bool, Any]:
        """Whether a call succeeded, and what it gave.

        Raises OSError, EOFError for a process that ended, ValueError, TypeError for what is no
        answer.
        """
        asking, answering = self._process.stdin, self._process.stdout
        if asking is None or answering is None or self._process.returncode is not None:
            raise EOFError
        asking.write(json.dumps([number, name, arguments]).encode() + b"\n")
        await asking.drain()
        while line := await answering.readline():
            found, ok, answer = json.loads(line)
            if found == number:  # others are of calls that were given up
                return bool(ok), answer
        raise EOFError

    async def close(self) -> None:
        """Kill the process, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            while await self._process.stdout.read(_LINE_BYTES):  # the pipe closes at its end only
                pass
        await self._process.wait()
