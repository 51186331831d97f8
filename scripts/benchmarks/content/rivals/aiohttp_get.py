"""The files of some URLs one after another, by a plain GET each: what aiohttp takes at best."""

import asyncio
import json
import sys
import time
from pathlib import Path

import aiohttp


async def _get(target: Path, urls: list[str]) -> float:
    started = time.perf_counter()
    with target.open("wb") as file:
        async with aiohttp.ClientSession() as session:
            for url in urls:
                async with session.get(url) as got:
                    got.raise_for_status()
                    async for data in got.content.iter_any():
                        file.write(data)
    return time.perf_counter() - started


if __name__ == "__main__":
    seconds = asyncio.run(_get(Path(sys.argv[1]), sys.argv[2:]))
    sys.stdout.write(json.dumps({"seconds": seconds}))
