"""One form of a request, and what asking it many times costs both sides."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any

from scripts.benchmarks.attack.meter import CpuMeter
from simulations.internet.host import Host

RATIO_MOST = 10.0
CORE_SHARE_MOST = 0.05

_MICRO = 1e6
_AFTER_S = 1.0
_LEAST_S = 1e-7


@dataclass(slots=True)
class Form:
    """`ask(n)` sends the request for the nth time; `prepare(n)`, which costs nothing, comes before.

    Where `ask` gives a coroutine that is awaited. `rate_most` is how many a second the node takes
    in all; beyond them it does less for each. `to_others`: the node sends to third ones as well.
    """

    name: str
    ask: Callable[[int], Coroutine[Any, Any, object] | None]
    prepare: Callable[[int], object] = lambda _: None
    count: int = 200
    pause_s: float = 0.004
    rate_most: float | None = None
    to_others: bool = False


@dataclass(slots=True)
class Asker:
    """Who asks: the host that sends, who pays for its CPU, and how often it asks at most."""

    host: Host
    payer: Hashable
    node: Host
    meter: CpuMeter
    times: int | None = None

    def count(self, form: Form) -> int:
        """How often it asks."""
        return form.count if self.times is None else min(self.times, form.count)


async def measure(form: Form, asker: Asker) -> dict[str, Any]:
    """Bytes and microseconds of CPU for each request, at the asker and at the node."""
    count = asker.count(form)
    seconds = count * form.pause_s + _AFTER_S
    idle = await _watched(asker, _nothing, form, seconds)
    asked = await _watched(asker, _ask, form, seconds)
    bytes_in, bytes_out, cpu_in, cpu_out = (
        max(0.0, busy - quiet) / count for busy, quiet in zip(asked, idle, strict=True)
    )
    row = {
        "bytes_in": round(bytes_in),
        "bytes_out": round(bytes_out),
        "cpu_in_us": round(cpu_in * _MICRO, 1),
        "cpu_out_us": round(cpu_out * _MICRO, 1),
        "ratio": round(cpu_out / max(cpu_in, _LEAST_S), 2),
    }
    if form.rate_most is not None:
        row["rate_most"] = form.rate_most
        row["core_share"] = round(form.rate_most * cpu_out, 4)
    row["fits"] = row["ratio"] < RATIO_MOST or row.get("core_share", 1.0) <= CORE_SHARE_MOST
    return row


async def _watched(asker: Asker, act: Any, form: Form, seconds: float) -> tuple[float, ...]:
    """What asker and node sent and spent meanwhile."""
    loop = asyncio.get_running_loop()
    before, ends_at = _state(asker, form), loop.time() + seconds
    gc.collect()
    gc.disable()
    await act(form, asker)
    await asyncio.sleep(ends_at - loop.time())
    gc.enable()
    return tuple(now - then for now, then in zip(_state(asker, form), before, strict=True))


def _state(asker: Asker, form: Form) -> tuple[float, ...]:
    seconds = asker.meter.seconds
    got_bytes = asker.node.sent_bytes if form.to_others else asker.host.received_bytes
    return (
        *(asker.host.sent_bytes, got_bytes),
        *(seconds(asker.payer), seconds(asker.node)),
    )


async def _nothing(_form: Form, _asker: Asker) -> None:
    return


async def _ask(form: Form, asker: Asker) -> None:
    for number in range(asker.count(form)):
        form.prepare(number)
        with asker.meter.charging(asker.payer), asker.host.running():
            asking = form.ask(number)
        if asking is not None:
            await asker.host.create_task(asking)
        await asyncio.sleep(form.pause_s)
