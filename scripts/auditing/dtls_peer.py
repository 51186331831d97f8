"""`python -m scripts.auditing.dtls_peer`: the DTLS of a node's links on a UDP port, without ICE.

Prints the port and ends when its input ends. Each remote address has a handshake of its own; the
fingerprint that the link would expect is that of no certificate, as the signal vouches for none.
"""

import asyncio
import sys
from typing import cast

from node.environment import Environment
from node.links.failure import LinkAttemptFailed
from node.links.path.datagrams import DtlsDatagrams
from node.links.path.ice import IcePath
from node.links.secure import certificate
from node.links.secure.dtls import DtlsPath
from protocol.description import DtlsRole

_NO_FINGERPRINT = bytes(32)

_PEERS_MAX = 1000


class _BarePath:
    """What `DtlsPath` asks of the path below it: datagrams to and from one address."""

    ended = ""
    patience_s = 0.0

    def __init__(self, transport: asyncio.DatagramTransport, remote: tuple[str, int]) -> None:
        self.datagrams = DtlsDatagrams(lambda data: transport.sendto(data, remote))

    def leave_relay(self) -> bool:
        """There is none."""
        return False

    def secured(self) -> None:
        """Nothing waits for it."""

    async def close(self) -> None:
        """Nothing more comes or goes."""
        self.datagrams.end()


class _Port(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._certificate = certificate.create(Environment())
        self._paths: dict[tuple[str, int], _BarePath] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, remote: tuple[str, int]) -> None:
        path = self._paths.get(remote)
        if path is None:
            if len(self._paths) == _PEERS_MAX:
                return
            path = self._paths[remote] = _BarePath(self._transport, remote)
            task = asyncio.get_running_loop().create_task(self._shake_hands(path))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        path.datagrams.put(data)

    async def _shake_hands(self, path: _BarePath) -> None:
        dtls = DtlsPath(cast("IcePath", path), self._certificate)
        try:
            await dtls.secure(_NO_FINGERPRINT, DtlsRole.PASSIVE)
        except LinkAttemptFailed:
            await dtls.close()


async def main() -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Port, local_addr=("127.0.0.1", 0))
    print(transport.get_extra_info("sockname")[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    transport.close()


if __name__ == "__main__":
    asyncio.run(main())
