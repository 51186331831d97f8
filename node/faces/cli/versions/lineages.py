"""lineage: the mods that are shared from here, through all their versions."""

import os
from pathlib import Path

import click

from node.faces.cli import options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal import given
from node.faces.cli.terminal.typos import GroupWithHints
from node.faces.cli.terminal.words import PathWord, Word, shell_word
from node.files import write_atomically
from protocol import limits
from protocol.errors import BadInput

_NAME = Word("the name of a mod that is shared from here", limits.MOD_NAME_BYTES)


@click.group(cls=GroupWithHints)
def lineage() -> None:
    """Show and rule the mods that are shared from here, through all their versions."""


@lineage.command("list")
@options.asking
def list_lineages(home: Path, as_json: bool) -> None:
    """List the mods that are shared from here, and the links that follow them."""
    told = ControlClient(home).get("/v1/lineages")
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("NAME", "VERSION", "KEPT", "MADE OF", "LINK"),
        (
            (
                one["name"],
                str(one["version"]),
                str(one["kept"] or "all"),
                one["path"] or "not known",
                one["link"],
            )
            for one in told["lineages"]
        ),
        empty="Nothing was shared from here.",
    )
    for one in told["lineages"]:
        if one["forked"]:
            name = output.printable(one["name"])
            click.echo(
                f"{name}: two machines have gone on with it, each by itself. Share from one alone.",
                err=True,
            )


@lineage.command()
@click.argument("name", type=_NAME)
@click.argument("count", type=click.IntRange(0, limits.LINEAGE_VERSION_MAX))
@options.asking
def keep(name: str, count: int, home: Path, as_json: bool) -> None:
    """Keep the last COUNT versions of the mod NAME, and remove older ones; 0 keeps all."""
    told = ControlClient(home).post("/v1/lineages/kept", {"name": name, "versions": count})
    if as_json:
        output.show_json(told)
        return
    kept = "all versions are kept"
    if count:
        kept = "the last version is kept" if count == 1 else f"the last {count} versions are kept"
    click.echo(f"{output.printable(name)}: {kept}.")


@lineage.command()
@click.argument("name", type=_NAME)
@click.argument("file", type=PathWord("the file to write"))
@options.asking
def export(name: str, file: Path, home: Path, as_json: bool) -> None:
    """Write the keys of the mod NAME to FILE, so that another machine can share its versions.

    With a copy of FILE anybody can publish versions of the mod: keep it as you keep a password.
    """
    if os.path.lexists(file):
        raise BadInput(f"{file} is there already: name another file")
    told = ControlClient(home).post("/v1/lineages/export", {"name": name})
    write_atomically(file, f"{told['lineage']}\n".encode())
    if as_json:
        output.show_json({"name": told["name"], "path": str(file)})
        return
    click.echo(f"The keys of {output.printable(name)} are in {file}: keep it secret.")


@lineage.command("import")
@click.argument("file", type=PathWord("a file that `lineage export` wrote", dir_okay=False))
@options.asking
def import_lineage(file: Path, home: Path, as_json: bool) -> None:
    """Go on here with a mod that another machine exported to FILE.

    Only one machine at a time should share a mod: two that share at once fork it.
    """
    text = given.from_file(file, "the keys of a mod")
    if not text.strip():
        raise BadInput(f"{file} is empty: give a file that `modswarm lineage export` wrote")
    some = text[: limits.PASTED_CHARS]  # keys are shorter, and the node says of the rest what it is
    told = ControlClient(home).post("/v1/lineages", {"lineage": some})
    if as_json:
        output.show_json(told)
        return
    goes_on = f"{output.printable(told['name'])} goes on here after version {told['version']}"
    click.echo(f"{goes_on}: `modswarm share DIR --as {shell_word(told['name'])}`.")
