"""What each form of a request costs who asks and who is asked, and what attackers cost others.

Requests of peers are made in a simulated world of whole nodes, in which what a node spends is what
its own code does, and what the kernel takes is added for each datagram.
"""

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from protocol import limits
from protocol.datagrams import XChaCha20Poly1305
from scripts.benchmarks.attack.control_api import control_api_rows
from scripts.benchmarks.attack.form import CORE_SHARE_MOST, RATIO_MOST, Asker, Form, measure
from scripts.benchmarks.attack.getting import getting
from scripts.benchmarks.attack.hostile_tests import hostile_tests
from scripts.benchmarks.attack.link_forms import CHUNKS, LinkAsker
from scripts.benchmarks.attack.meter import CpuMeter, MeteredLoop, metered_network
from scripts.benchmarks.attack.overlay_forms import OverlayAsker
from scripts.benchmarks.attack.port_forms import PortAsker
from simulations.attacks.partial_mod import add_partial_mod
from simulations.internet import UniformLatency
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import populate_publics, try_link
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, simulated_settings
from simulations.runtime.running import run_virtually

_ROUND_TRIP_S = 0.02
_PUBLICS = 12
_SETTLED_S = 120.0
_MOD_BYTES = 12_000_000
_BUDGET_FULL_S = limits.CONTENT_REQUESTS_BURST / limits.CONTENT_REQUESTS_PER_SECOND


def run(hostile: list[str] | None) -> dict[str, Any]:
    """The rows, the bounds that they are held against, and those that exceed them.

    With `hostile` the attackers of tests/hostile instead: of these files or ids, or all if none.
    """
    if hostile is not None:
        return hostile_tests(hostile)
    rows = requests_of_peers()
    rows.update(control_api_rows())
    return {
        "ratio_most": RATIO_MOST,
        "core_share_most": CORE_SHARE_MOST,
        "requests": rows,
        "get_among_attackers": getting(),
        "exceed": [name for name, row in rows.items() if not row["fits"]],
    }


def requests_of_peers(times: int | None = None) -> dict[str, Any]:
    """A row for each form; it is asked as often as it says, or at most so many times."""
    meter = CpuMeter()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, metered_network(meter):
        run_virtually(_measure(Path(folder), meter, times, rows), MeteredLoop(meter))
    return rows


async def _measure(folder: Path, meter: CpuMeter, times: int | None, rows: dict[str, Any]) -> None:
    settings = simulated_settings(cipher=XChaCha20Poly1305())
    world = World(1, latency=UniformLatency(_ROUND_TRIP_S), settings=settings, folder=folder)
    with virtual_libraries(world.internet):
        publics = await populate_publics(world, _PUBLICS)
        await asyncio.sleep(_SETTLED_S)
        victim, peer = publics[:2]
        try:
            overlay = OverlayAsker(world.internet, victim.contact, world.loop.wall_time)
            await overlay.move_in()
            asker = Asker(overlay.peer.host, "asker", victim.host, meter, times)
            for form in [*overlay.forms(), *await overlay.fill_key()]:
                await overlay.prove()
                rows[form.name] = await measure(form, asker)
            for form in [*PortAsker(overlay.send).forms(), *await overlay.turn_forms()]:
                rows[form.name] = await measure(form, asker)
            link = await _link_forms(folder, peer, victim)
            asker = Asker(peer.host, peer.host, victim.host, meter, times)
            for form in link.forms():
                link.keep()
                await asyncio.sleep(_BUDGET_FULL_S)
                rows[form.name] = await measure(form, asker)
            await link.close()
            form = Form("call and link", lambda _: _call(peer, victim), count=15, pause_s=10.0)
            rows[form.name] = await measure(form, asker)
        finally:
            await world.close()


async def _call(peer: WholeResident, victim: WholeResident) -> None:
    link = await peer.running_node.pool.connect(victim.identity.peer_id)
    await link.close()


async def _link_forms(folder: Path, peer: WholeResident, victim: WholeResident) -> LinkAsker:
    """A link to a node that has a mod, and of a big one nothing."""
    source = folder / "mod"
    source.write_bytes(random.Random(1).randbytes(_MOD_BYTES))
    vault = victim.running_node.sharing._vault
    with victim.host.running():
        partial = await add_partial_mod(vault, CHUNKS)
        shared = await victim.running_node.sharing.share(source)
        missing = await vault.mods()
    _, link = await try_link(peer, victim)
    assert link is not None
    return LinkAsker(link, partial, shared.mod_id, missing[-1].chunks)
