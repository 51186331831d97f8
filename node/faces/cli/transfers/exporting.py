"""export: a mod as files for a web server."""

from pathlib import Path

import click

from node.faces.cli import bars, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.mods import choose
from node.faces.cli.terminal.words import PathWord, Word
from node.machine.folders import absolute


@click.command()
@click.argument(
    "mod", type=Word("the name, the link or the id of a mod, as `modswarm ls` shows them")
)
@click.argument("folder", type=PathWord("the folder for the files", file_okay=False))
@options.asking
def export(mod: str, folder: Path, home: Path, as_json: bool) -> None:
    """Write MOD into FOLDER as two files that any web server can host.

    They are sealed: the server and its visitors can read nothing of the mod without its link.
    """
    client = ControlClient(home)
    chosen = choose(mod, client.get("/v1/mods")["mods"])
    body = {"mod_id": chosen["mod_id"], "to": str(absolute(folder))}
    with bars.bar(quiet=as_json) as bar:
        done = bars.follow(client.stream("/v1/exports", body), bar)
    if as_json:
        output.show_json(done)
        return
    output.show_facts(
        [
            ("Manifest", done["manifest"]),
            ("Chunks", done["chunks"]),
            ("Together", output.size(done["bytes"])),
        ]
    )
    click.echo(
        "Put both into one folder of a web server, as they are, and name that folder in the link:\n"
        "    modswarm share PATH --origin https://SERVER/FOLDER\n"
        'or in config.toml of those who fetch: origins = ["https://SERVER/FOLDER"]',
        err=True,
    )
