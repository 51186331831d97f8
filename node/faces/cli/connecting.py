"""connect: open a link to a peer, whether or not it serves anything."""

from pathlib import Path
from typing import Any

import click

from node.faces.cli import options, output
from node.faces.cli.client import ControlClient

_LEARNED = {
    "host": "its own address",
    "srflx": "as others see it",
    "prflx": "as the other end sees it",
    "relay": "a relay's address",
}
"""How the address of an end was learned, by the tokens of RFC 8839."""

_STAGES = {
    "call_ms": "call",
    "ice_ms": "ICE",
    "dtls_ms": "DTLS",
    "sctp_ms": "SCTP",
    "session_ms": "session",
}


@click.command()
@click.argument("peer")
@options.asking
def connect(peer: str, home: Path, as_json: bool) -> None:
    """Open a link to PEER, a peer id as `modswarm id` shows it, and show the way found.

    A link that is open already is shown as it is.
    """
    link = ControlClient(home).post("/v1/connect", {"peer": peer})
    if as_json:
        output.show_json(link)
        return
    output.show_facts(
        (
            ("Linked with", link["peer_id"]),
            ("Path", f"{link['path']}, {link['direction']}"),
            ("Our end", _end(link, "local")),
            ("Their end", _end(link, "remote")),
            ("Round trip", output.milliseconds(link["rtt_ms"])),
            ("Call came by", _signaled_via(link)),
            ("Opened in", _stages(link["stages"])),
            ("Open for", output.duration(link["age_s"])),
        )
    )


def _end(link: dict[str, Any], side: str) -> str:
    kind = link[f"{side}_type"]
    return f"{link[f'{side}_address']} ({_LEARNED.get(kind, kind)})"


def _signaled_via(link: dict[str, Any]) -> str:
    if link["direction"] == "incoming":
        return "the peer called us"
    return ", ".join(link["signaled_via"]) or "the peer itself took it"


def _stages(stages: dict[str, float | None]) -> str:
    took = {name: ms for key, name in _STAGES.items() if (ms := stages[key]) is not None}
    parts = ", ".join(f"{name} {output.milliseconds(ms)}" for name, ms in took.items())
    return f"{output.milliseconds(sum(took.values()))} ({parts})"
