"""connect: open a link to a peer, whether or not it serves anything."""

from pathlib import Path

import click

from node.faces.cli import options, output
from node.faces.cli.client import ControlClient


@click.command()
@click.argument("peer")
@options.asking
def connect(peer: str, home: Path, as_json: bool) -> None:
    """Open a link to PEER, a peer id as `modswarm id` shows it."""
    link = ControlClient(home).post("/v1/connect", {"peer": peer})
    if as_json:
        output.show_json(link)
        return
    click.echo(f"Linked: {link['path']}, {link['direction']}, with {link['remote_address']}")
