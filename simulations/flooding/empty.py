"""`python -m simulations.flooding.empty HOST SECONDS`: asyncio's datagram socket and no handler.

Tells its port, and then how many datagrams a second came through, at what share of a core.
"""

import asyncio
import sys
import time
from typing import Any

from simulations.flooding.nodes import tell


class _Nothing(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received = 0

    def datagram_received(self, _data: bytes, _address: Any) -> None:
        self.received += 1


async def main(host: str, seconds: float) -> None:
    """Count for so long, from the first datagram on."""
    loop = asyncio.get_running_loop()
    transport, nothing = await loop.create_datagram_endpoint(_Nothing, local_addr=(host, 0))
    tell(transport.get_extra_info("sockname")[1])
    await loop.run_in_executor(None, sys.stdin.readline)
    before, cpu_s, started = nothing.received, time.process_time(), loop.time()
    await asyncio.sleep(seconds)
    passed_s = loop.time() - started
    tell(
        {
            "handled_per_s": round((nothing.received - before) / passed_s),
            "core_percent": round(100 * (time.process_time() - cpu_s) / passed_s, 1),
        }
    )
    transport.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
