"""Names of hosts, each looked up once at a time.

The system's resolver holds a thread until it gives up, which where no DNS answers takes longer than
anything here waits. All share few threads with the disk: so one lookup of a name is all there is.
"""

import asyncio
import ipaddress
from collections.abc import Sequence

from node.tasks import TaskOwner


class NameLookups:
    """Those of one node; `tasks` owns them."""

    def __init__(self, tasks: TaskOwner) -> None:
        self._tasks = tasks
        self._under_way: dict[str, asyncio.Task[Sequence[str] | OSError]] = {}

    async def find(self, host: str) -> Sequence[str]:
        """The IP literals of a host, the system's preferred one first; raises OSError."""
        if _is_literal(host):
            return (host,)
        looking = self._under_way.get(host)
        if looking is None:
            looking = self._tasks.start(_look_up(host), name=f"look up {host}")
            self._under_way[host] = looking
            looking.add_done_callback(lambda _: self._under_way.pop(host))
        found = await asyncio.shield(looking)
        if isinstance(found, OSError):
            raise found
        return found


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up(host: str) -> Sequence[str] | OSError:
    """What the system says of a name; an error is given back, as who asked may wait no more."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError as error:
        return error
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
