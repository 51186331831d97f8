"""How long an honest `get`, and the owner's list, take among attackers: real nodes on loopback."""

from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.process import Process

_PROGRAM = Path(__file__).parent / "peers.py"
_MOD_BYTES = 12_000_000
_CHUNKS = 100_000
_ATTACKERS = (0, 1, 10)
_RUNS = 3


def getting() -> dict[str, Any]:
    """Medians of seconds, by the number of attackers."""
    holder = Process(_PROGRAM, {"bootstrap": [], "nodes": 1})
    others: list[Process] = [holder]
    try:
        address = holder.hear()
        getter = Process(_PROGRAM, {"bootstrap": [address], "nodes": 1})
        others.append(getter)
        getter.hear()
        link, big, peer_id = _ask(holder, ["hold", _MOD_BYTES, _CHUNKS])
        _ask(getter, ["get", link])
        return {
            "mod_bytes": _MOD_BYTES,
            "chunks": _CHUNKS,
            "attackers": [
                _among(count, holder, getter, address, [link, big, peer_id]) for count in _ATTACKERS
            ],
        }
    finally:
        for process in reversed(others):
            process.end()


def _among(
    count: int, holder: Process, getter: Process, address: str, held: list[str]
) -> dict[str, Any]:
    link, big, peer_id = held
    attackers = Process(_PROGRAM, {"bootstrap": [address], "nodes": count}) if count else None
    try:
        if attackers is not None:
            attackers.hear()
            _ask(attackers, ["attack", peer_id, big])
        gets = [_ask(getter, ["get", link]) for _ in range(_RUNS)]
        lists = [_ask(holder, ["ls"]) for _ in range(_RUNS)]
        return {
            "count": count,
            "get_s": round(median(gets), 3),
            "ls_s": round(median(lists), 4),
        }
    finally:
        if attackers is not None:
            attackers.end()


def _ask(process: Process, what: Any) -> Any:
    process.tell(what)
    return process.hear()
