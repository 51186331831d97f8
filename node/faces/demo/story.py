"""What the demo does: of two unreachable nodes one shares, the other fetches; all is compared.

The sharer and the getter take no unsolicited traffic and know only the bootstrap's address, and
the link names nothing but the mod: so the getter has to find the mod's providers in the DHT, and to
call the sharer through its registrars.
"""

import time
from pathlib import Path
from typing import Any

from node.faces.cli import bars
from node.faces.cli.output import duration, milliseconds, size
from node.faces.demo import comparison
from node.faces.demo.overlay import Overlay, Prepare, Tell, overlay
from protocol.content.link import parse as parse_link
from protocol.errors import CallFailed, ModswarmError
from protocol.texts.amounts import counted

_FIGURES = (
    "mod_id",
    "files",
    "bytes",
    "seconds",
    "join_ms",
    "lookup_ms",
    "connect_ms",
    "transfer_MBps",
    "record_hops",
    "signaled_via",
)


def play(source: Path, nodes: int, tell: Tell, bar: bars.Bar, prepare: Prepare) -> dict[str, Any]:
    """Play the whole demo and return its final JSON. Raises the error that ended it."""
    began = time.monotonic()
    with overlay(nodes, prepare, tell) as (built, folder):
        told = carry(built, source, folder / "fetched", tell, bar)
    tell("Cleaned up", f"everything took {duration(time.monotonic() - began)}")
    return {"ok": True, "nodes": nodes, **{name: told[name] for name in _FIGURES}, "verified": True}


def carry(built: Overlay, source: Path, target: Path, tell: Tell, bar: bars.Bar) -> dict[str, Any]:
    """Share `source` from one endpoint, fetch it on the other, compare.

    Returns what the getter reported, with `files` and `bytes` as the comparison counted them and
    the getter's `join_ms`. Raises Different, CallFailed (no third node forwarded the call), and the
    errors that the nodes answer.
    """
    sharer, getter = built.endpoints
    tell("Sharing", f"{source} from a node that takes no unsolicited traffic")
    shared = bars.follow(sharer.client.stream("/v1/mods", {"path": str(source)}), bar)
    published = shared["published"]
    tell(
        "Shared",
        f"announced at {published['confirmed']} of {counted(published['asked'], 'contact')}",
    )
    if shared["left_out"]:
        tell("Left out", f"{shared['left_out']} by .modswarmignore, which is not compared")
    link = parse_link(shared["link"])
    if link.hints:
        raise ModswarmError("the link names addresses, so it would prove nothing")
    request = {"link": str(link), "to": str(target)}
    fetched = bars.follow(getter.client.stream("/v1/downloads", request), bar)
    own_ids = {node.status()["peer_id"] for node in built.endpoints}
    if not fetched["signaled_via"] or own_ids & set(fetched["signaled_via"]):
        raise CallFailed("the call did not go through other nodes, so it would prove nothing")
    _tell_fetched(fetched, tell)
    compared = comparison.compare(source, target, shared["files"] if shared["left_out"] else None)
    tell("Verified", f"every byte is the same; SHA-256 of all: {compared.digest}")
    checked = {"files": compared.files, "bytes": compared.bytes}
    return {**fetched, **checked, "join_ms": getter.status()["join_ms"]}


def _tell_fetched(told: dict[str, Any], tell: Tell) -> None:
    hops = counted(told["record_hops"], "hop")
    found = f"the providers, in {milliseconds(told['lookup_ms'])} and {hops}"
    tell("Looked up", found)
    tell("Signaled", f"through {', '.join(told['signaled_via'])}")
    tell("Linked", f"by WebRTC, in {milliseconds(told['connect_ms'])} from call to open link")
    sealed = f"{size(told['bytes_fetched'])}, compressed and sealed"
    tell("Transferred", f"{sealed}, at {told['transfer_MBps']:.1f} MB/s")
    written = f"{counted(told['files'], 'file')}, {size(told['bytes'])}"
    tell("Written", f"{written}, {duration(told['seconds'])} after the command was given")
