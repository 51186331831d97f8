"""connect: open a link to a peer, whether or not it serves anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from node.faces.cli import networks, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal.words import Word
from node.links.failure import AttemptReport, LinkAttemptFailed
from protocol.errors import BadPeerId
from protocol.ice.candidates import CandidateKind
from protocol.identity import peer_id_text
from protocol.texts.links import holds_link
from protocol.texts.peers import peer_id_in

PEER_WORD = Word("a peer id, as `modswarm id` shows it there")
"""What `connect` and `doctor` take."""

_STAGES = {"call": "call", "ice": "ICE", "dtls": "DTLS", "sctp": "SCTP", "session": "session"}


@click.command()
@click.argument("peer", type=PEER_WORD)
@click.option(
    "--keep/--no-keep",
    default=None,
    help="Keep the link up until the node stops, and call again when it is lost; or end that.",
)
@options.asking
def connect(peer: str, keep: bool | None, home: Path, as_json: bool) -> None:
    """Open a link to PEER, a peer id as `modswarm id` shows it, and show the way found.

    A link that is open already is shown as it is. Where none opens, what was tried is shown, and
    with --keep the node goes on calling.
    """
    peer = peer_meant(peer)
    kept = {} if keep is None else {"keep": keep}
    try:
        link = ControlClient(home).post("/v1/connect", {"peer": peer, **kept})
    except LinkAttemptFailed as failure:
        if not as_json and failure.report is not None:
            show_tried(failure.report)
        raise
    if as_json:
        output.show_json(link)
        return
    output.show_facts(link_facts(link))


def peer_meant(text: str) -> str:
    """The peer id in what a person pasted; raises BadPeerId."""
    if holds_link(text):
        raise BadPeerId(
            "that is the link of a mod; give the id of a peer, as `modswarm id` shows it there"
        )
    return peer_id_text(peer_id_in(text))


def link_facts(link: dict[str, Any]) -> list[tuple[str, str]]:
    """What is shown of a link, with its names."""
    return [
        ("Linked with", link["peer_id"]),
        ("Path", f"{link['path']}, {link['direction']}"),
        ("Our end", _end(link, "local")),
        ("Their end", _end(link, "remote")),
        *([("Relay", link["relay"])] if link["relay"] else []),
        ("Round trip", output.milliseconds(link["rtt_ms"])),
        ("Call came by", _signaled_via(link)),
        ("Opened in", _opened_in(link["stages"])),
        ("Open for", output.duration(link["age_s"])),
        *([("Kept", "; ".join(link["kept"]))] if link["kept"] else []),
    ]


def _end(link: dict[str, Any], end: str) -> str:
    kind = CandidateKind[link[f"{end}_type"].upper()]
    return f"{link[f'{end}_address']} ({networks.LEARNED[kind]})"


def _signaled_via(link: dict[str, Any]) -> str:
    if link["direction"] == "incoming":
        return "the peer called us"
    return ", ".join(link["signaled_via"]) or "the peer itself took it"


def _opened_in(stages: dict[str, float | None]) -> str:
    took = {
        name.removesuffix("_ms"): took_ms for name, took_ms in stages.items() if took_ms is not None
    }
    return _times(took)


def _times(stage_ms: Mapping[str, float]) -> str:
    parts = ", ".join(
        f"{_STAGES.get(stage, stage)} {output.milliseconds(took_ms)}"
        for stage, took_ms in stage_ms.items()
    )
    return f"{output.milliseconds(sum(stage_ms.values()))} ({parts})"


def show_tried(report: AttemptReport) -> None:
    """What was tried, on standard error: the sentence with the cause follows it."""
    output.show_facts(
        (
            ("Our network", networks.side(report.own)),
            ("Their network", networks.side(report.peer)),
            ("Tried for", _times(report.stage_ms)),
        ),
        err=True,
    )
    output.show_table(
        ("OUR END", "THEIR END", "OUTCOME"),
        (
            (
                f"{pair.local} ({networks.LEARNED[pair.local_type]})",
                f"{pair.remote} ({networks.LEARNED[pair.remote_type]})",
                pair.outcome.value,
            )
            for pair in report.pairs
        ),
        empty="No pair of addresses could be tried.",
        err=True,
    )
