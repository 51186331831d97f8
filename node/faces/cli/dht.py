"""dht: look into the overlay, to debug it: lookup, get, crawl."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from node.faces.cli import exits, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal.typos import GroupWithHints
from node.faces.cli.terminal.words import Word
from protocol.texts.amounts import counted

_TARGET = Word("a peer id, a link or a key of 40 hex digits")
_KINDS = click.Choice(("peer", "provider", "availability", "lineage"))


@click.group(cls=GroupWithHints)
def dht() -> None:
    """Look into the DHT, to debug it.

    TARGET is a peer id, a mod's link, or a DHT key of 40 hex digits. Each command prints JSON with
    --json.
    """


@dht.command()
@click.argument("target", type=_TARGET)
@click.option("--paths", type=int, default=1, show_default=True, help="Disjoint lookup paths.")
@options.asking
def lookup(target: str, paths: int, home: Path, as_json: bool) -> None:
    """Show the contacts nearest to TARGET, and the contacts that led to each."""
    told = ControlClient(home).get("/v1/dht/lookup", target=target, paths=str(paths))
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("PEER", "ADDRESS", "ROUND TRIP", "FOUND BY"),
        (
            (
                one["peer_id"],
                one["address"],
                output.milliseconds(one["rtt_ms"]),
                " > ".join(peer[:9] for peer in one["path"]) or "known",
            )
            for one in told["closest"]
        ),
        empty="No contact answered.",
    )
    requests = counted(told["requests"], "request")
    click.echo(f"{requests} in {output.duration(told['seconds'])}", err=True)


@dht.command()
@click.argument("target", type=_TARGET)
@click.option("--kind", type=_KINDS, help="Of a peer id: peer. Of a link or a key: provider.")
@options.asking
def get(target: str, kind: str | None, home: Path, as_json: bool) -> int:
    """Show the verified records under TARGET, and the contacts that hold them.

    Status 4 if there is none.
    """
    told = ControlClient(home).get("/v1/dht/records", target=target, kind=kind)
    status = exits.OK if told["records"] else exits.NOT_FOUND
    if as_json:
        output.show_json(told)
        return status
    output.show_table(
        ("PUBLISHER", "EXPIRES", "SEQUENCE", "SIZE", "SAYS"),
        (
            (
                one["publisher"],
                _time(one["expires"]),
                one["sequence"],
                output.size(one["bytes"]),
                _said(one["body"]),
            )
            for one in told["records"]
        ),
        empty=f"No valid {told['kind']} record was found there.",
    )
    keepers = counted(len(told["holders"]), "contact")
    registrars = counted(len(told["registrars"]), "registrar")
    click.echo(
        f"kept by {keepers}, {registrars}; {counted(told['requests'], 'request')} "
        f"in {output.duration(told['seconds'])}",
        err=True,
    )
    return status


@dht.command()
@click.option("--contacts", type=int, help="Ask no more than so many.")
@options.asking
def crawl(contacts: int | None, home: Path, as_json: bool) -> None:
    """Walk through the network from contact to contact, for half a minute at most."""
    body = {} if contacts is None else {"contacts": contacts}
    told = ControlClient(home).post("/v1/dht/crawl", body)
    if as_json:
        output.show_json(told)
        return
    size = told["size_estimate"]
    output.show_facts(
        (
            ("Nodes, by density", "-" if size is None else size),
            ("Asked", f"{told['asked']} of {told['named']} named"),
            ("Answered", f"{told['answered']}, silent {told['silent']}"),
            ("All were asked", output.yes_no(told["whole"])),
            ("Versions", _counts(told["versions"])),
            ("Over IPv4, IPv6", f"{told['families']['4']}, {told['families']['6']}"),
            ("Round trip, median", output.milliseconds(told["rtt_p50_ms"])),
            ("Took", output.duration(told["seconds"])),
        )
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _said(body: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in body.items())


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return output.yes_no(value)
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "-"
