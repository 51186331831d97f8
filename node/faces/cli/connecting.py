"""connect and links: open a link to a peer, whether or not it serves anything, and list all."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, networks, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal.words import Word
from node.links.failure import AttemptReport, LinkAttemptFailed
from protocol.errors import BadPeerId
from protocol.ice.candidates import CandidateKind
from protocol.ice.paths.report import PathReason
from protocol.identity import peer_id_text
from protocol.texts.amounts import counted
from protocol.texts.links import holds_link
from protocol.texts.peers import peer_id_in

PEER_WORD = Word("a peer id, as `modswarm id` shows it there")
"""What `connect` and `doctor` take."""

_LINK_HEADINGS = ("PEER", "DIRECTION", "OPEN FOR", "SENT", "RECEIVED", "KEPT")
_PATH_HEADINGS = ("  PATH", "ROUND TRIP", "LOSS", "RATE", "ADDRESS OR RELAY")

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


@click.command()
@click.option("--watch", is_flag=True, help="Then show what changes, until Ctrl-C.")
@options.asking
def links(watch: bool, home: Path, as_json: bool) -> None:
    """List the open links to peers, each with its paths, of which * marks the one in use."""
    client = ControlClient(home)
    last = client.get("/v1/links/changes")["last"] if watch else 0
    told = client.get("/v1/links")
    if as_json:
        output.show_json(told)
    elif told["links"]:
        _show_links(told["links"])
    else:
        click.echo("No open links. They open when something is fetched.")
    while watch:
        told = client.get("/v1/links/changes", after=str(last))
        last = told["last"]
        _show_changes(told, as_json)


def _show_changes(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        if told["changes"]:
            output.show_json(told)
        return
    if told["missed"]:
        click.echo(f"{counted(told['missed'], 'earlier change')} not shown: too many at once.")
    for change in told["changes"]:
        way = f"{change['path']}, {change['relay'] or change['remote_address']}"
        what = way if change["end"] is None else change["reason"]
        at = output.time_of_day(time.time() - change["ago_s"])
        click.echo(f"{at}  {change['peer_id']}  {change['event']:4}  {what}")


def _show_links(links: list[dict[str, Any]]) -> None:
    """Two headings, then for each link a line and below it one for each path."""
    heading, *link_lines = output.aligned([_LINK_HEADINGS, *map(_link_row, links)])
    path_rows = [_path_row(path) for link in links for path in link["paths"]]
    path_heading, *path_lines = output.aligned([_PATH_HEADINGS, *path_rows])
    click.echo(heading)
    click.echo(path_heading)
    left = iter(path_lines)
    for link, line in zip(links, link_lines, strict=True):
        click.echo(line)
        for _ in link["paths"]:
            click.echo(next(left))


def _link_row(link: dict[str, Any]) -> tuple[str, ...]:
    return (
        link["peer_id"],
        link["direction"],
        output.duration(link["age_s"]),
        output.size(link["bytes_sent"]),
        output.size(link["bytes_received"]),
        output.yes_no(bool(link["kept"])),
    )


def _path_row(path: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{'*' if path['selected'] else ' '} {path['kind']}",
        output.milliseconds(path["rtt_ms"]),
        _loss(path),
        bars.rate(path),
        path["relay"] or path["remote_address"],
    )


def _loss(path: dict[str, Any]) -> str:
    return f"{100 * path['loss']:.0f} %"


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
        *[("Why", _reason(path)) for path in link["paths"] if path["selected"]],
        ("Our end", _end(link, "local")),
        ("Their end", _end(link, "remote")),
        *([("Relay", link["relay"])] if link["relay"] else []),
        ("Round trip", output.milliseconds(link["rtt_ms"])),
        ("Call came by", _signaled_via(link)),
        ("Opened in", _opened_in(link["stages"])),
        ("Open for", output.duration(link["age_s"])),
        *([("Kept", "; ".join(link["kept"]))] if link["kept"] else []),
        *[("Beside it", _beside(path)) for path in link["paths"] if not path["selected"]],
    ]


def _reason(path: dict[str, Any]) -> str:
    return PathReason[path["reason"].upper()].value


def _beside(path: dict[str, Any]) -> str:
    to = f"by {path['relay']}" if path["relay"] else f"to {path['remote_address']}"
    measured = f"{output.milliseconds(path['rtt_ms'])}, {_loss(path)} lost"
    return f"{path['kind']} {to}, {measured}; {_reason(path)}"


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
