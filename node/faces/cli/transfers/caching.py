"""cache: what is kept for others: list, drop, refuse, allow."""

from pathlib import Path
from typing import Any

import click

from node.faces.cli import options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal.typos import GroupWithHints
from node.faces.cli.terminal.words import Word
from protocol.errors import BadInput
from protocol.identity import base32_text
from protocol.texts.links import holds_link, link_in

_MOD = Word("the link or the id of a mod, as `modswarm cache list` shows it")
_ID_CHARS_MIN = 8


@click.group(cls=GroupWithHints)
def cache() -> None:
    """Show and rule what is kept for others.

    A node that runs with --cache-size keeps popular mods that few others have, and serves them. It
    has no key to them, so it knows neither their names nor what is in them. MOD is a link or an id;
    of what is in the cache or refused, at least 8 characters of the id are enough.
    """


@cache.command("list")
@options.asking
def list_cached(home: Path, as_json: bool) -> None:
    """List what is kept for others, and what never is."""
    told = ControlClient(home).get("/v1/cache")
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("ID", "SIZE", "ASKERS", "COMPLETE"),
        (
            (
                mod["mod_id"],
                output.size(mod["bytes"]),
                str(mod["askers"]),
                output.yes_no(mod["complete"]),
            )
            for mod in told["mods"]
        ),
        empty="Nothing is kept for others.",
    )
    budget = output.size(told["budget_bytes"]) if told["budget_bytes"] else "off"
    output.show_facts(
        [
            ("Budget", f"{output.size(told['bytes'])} of {budget}" if told["mods"] else budget),
            *(("Refused", mod_id) for mod_id in told["refused"]),
        ]
    )


@cache.command()
@click.argument("mod", type=_MOD)
@options.asking
def drop(mod: str, home: Path, as_json: bool) -> None:
    """Forget MOD; it comes again only if as many peers ask for it anew."""
    client = ControlClient(home)
    told = client.delete("/v1/cache", _chosen(client, mod))
    _show(told, ("Dropped", "It was not in the cache:"), as_json=as_json)


@cache.command()
@click.argument("mod", type=_MOD)
@options.asking
def refuse(mod: str, home: Path, as_json: bool) -> None:
    """Drop MOD and never take it again."""
    client = ControlClient(home)
    told = client.post("/v1/cache/refused", {"mod_id": _chosen(client, mod)})
    _show(told, ("Dropped, and refused from now on:", "Refused from now on:"), as_json=as_json)


@cache.command()
@click.argument("mod", type=_MOD)
@options.asking
def allow(mod: str, home: Path, as_json: bool) -> None:
    """Take back that MOD is refused."""
    client = ControlClient(home)
    told = client.delete("/v1/cache/refused", _chosen(client, mod))
    _show(told, ("Allowed again:", "It was not refused:"), as_json=as_json)


def _chosen(client: ControlClient, text: str) -> str:
    """The id that `text` means; raises BadInput, BadLink. A whole id need not be known."""
    if holds_link(text):
        return base32_text(link_in(text).mod_id)
    told = client.get("/v1/cache")
    known = {*(mod["mod_id"] for mod in told["mods"]), *told["refused"]}
    found = [mod_id for mod_id in known if mod_id.startswith(text.lower())]
    if len(text) < _ID_CHARS_MIN or len(found) > 1:
        raise BadInput(f"{text!r} does not name one mod; `modswarm cache list` lists their ids")
    return found[0] if found else text


def _show(told: dict[str, Any], said: tuple[str, str], *, as_json: bool) -> None:
    if as_json:
        output.show_json(told)
        return
    changed, unchanged = said
    click.echo(f"{changed if told['changed'] else unchanged} {told['mod_id']}")
