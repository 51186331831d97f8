"""Commands that move mods: share, get, rm."""

import sys
from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, options, output
from node.faces.cli.client import ControlClient
from protocol.causes.cause import Cause
from protocol.content.link import is_link
from protocol.content.link import parse as parse_link
from protocol.errors import (
    BadInput,
    Expired,
    IssuedInFuture,
    KeyFull,
    NotFound,
    PublisherFull,
    StoreFull,
    StorerFull,
    TimedOut,
)
from protocol.identity import base32_text

_CAPS = {
    StoreFull.name: "their memory for announcements is full",
    KeyFull.name: "they know as many holders of this mod as they may",
    PublisherFull.name: "they keep as many announcements of this node as of any",
    StorerFull.name: "this node has stored as many announcements with them as it may",
}
"""What each bound on stored records means to a person."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="What the mod is called; by default as its folder is.")
@options.asking
def share(path: Path, name: str | None, home: Path, as_json: bool) -> None:
    """Share the folder or the file PATH, and print its link.

    The node keeps a sealed copy of the files in its home.
    """
    body = {"path": str(_absolute(path))} | ({"name": name} if name else {})
    with bars.bar(quiet=as_json) as bar:
        shared = bars.follow(ControlClient(home).stream("/v1/mods", body), bar)
    if as_json:
        output.show_json(shared)
        return
    published = shared["published"]
    files = f"{output.counted(shared['files'], 'file')}, {output.size(shared['bytes'])}"
    new = f"{output.size(shared['new_bytes'])} new in the vault"
    click.echo(f"Sharing {output.printable(shared['name'])}: {files}, {new}.", err=True)
    click.echo(_announced(published), err=True)
    click.echo(shared["link"])


def _announced(published: dict[str, Any]) -> str:
    contacts = output.counted(published["asked"], "contact")
    refused: dict[str, int] = published["refused"]
    if published["confirmed"]:
        where = f"{published['confirmed']} of {contacts}"
        caps = {name: count for name, count in refused.items() if name in _CAPS}
        but = "".join(f"; {count} refused: {_CAPS[name]}" for name, count in caps.items())
        return f"Announced at {where}{but}. Anyone with this link can fetch it:"
    why = _why_not_announced(contacts, refused)
    return f"Not announced yet: {why}. The node goes on trying. The link is:"


def _why_not_announced(contacts: str, refused: dict[str, int]) -> str:
    if not refused:
        return Cause.NO_CONTACTS.sentence
    answered = {name: count for name, count in refused.items() if name != TimedOut.name}
    if not answered:
        return f"of {contacts} that should keep the announcement none answers"
    most = max(answered, key=lambda name: answered[name])
    if most == IssuedInFuture.name:
        return "this computer's clock is ahead of the others' by more than a minute"
    if most == Expired.name:
        return "this computer's clock is far behind the others'"
    why = _CAPS.get(most, most.replace("_", " "))
    return f"{answered[most]} of {contacts} refused the announcement: {why}"


@click.command()
@click.argument("link")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder to write; by default one of the mod's name, here.",
)
@options.asking
def get(link: str, to: Path | None, home: Path, as_json: bool) -> None:
    """Fetch the mod of LINK; `-` reads the link from standard input.

    Nothing is written under the final name before every byte is verified. Ctrl-C stops it; what
    has arrived stays in the vault, and the same command goes on from there.
    """
    text = sys.stdin.readline() if link == "-" else link
    place = {"to": str(_absolute(to))} if to else {"into": str(Path.cwd())}
    body = {"link": str(parse_link(text)), **place}
    with bars.bar(quiet=as_json) as bar:
        fetched = bars.follow(ControlClient(home).stream("/v1/downloads", body), bar)
    if as_json:
        output.show_json(fetched)
        return
    _tell_fetched(fetched)


def _tell_fetched(fetched: dict[str, Any]) -> None:
    written = f"{output.counted(fetched['files'], 'file')}, {output.size(fetched['bytes'])}"
    facts = [("Written to", fetched["path"]), ("Contents", written)]
    if fetched["sources"]:
        sources = output.counted(len(fetched["sources"]), "peer")
        facts += [
            ("Fetched", f"{output.size(fetched['bytes_fetched'])} from {sources}"),
            ("Looked up in", output.milliseconds(fetched["lookup_ms"])),
            ("Linked in", output.milliseconds(fetched["connect_ms"])),
        ]
    else:
        facts.append(("Fetched", "nothing, it was all in the vault"))
    output.show_facts([*facts, ("Took", output.duration(fetched["seconds"]))])


@click.command()
@click.argument("mod")
@options.asking
def rm(mod: str, home: Path, as_json: bool) -> None:
    """Stop sharing MOD and free its space.

    MOD is a mod id or its beginning, a link, or a name.
    """
    client = ControlClient(home)
    chosen = choose(mod, client.get("/v1/mods")["mods"])
    removed = client.delete("/v1/mods", chosen["mod_id"])
    if as_json:
        output.show_json(removed)
        return
    click.echo(f"Removed {output.printable(chosen['name'] or chosen['mod_id'])}.")


def choose(text: str, mods: list[dict[str, Any]]) -> dict[str, Any]:
    """The one mod that `text` means; raises NotFound, BadInput (several, or a damaged link)."""
    if is_link(text):
        mod_id = base32_text(parse_link(text).mod_id)
        found = [mod for mod in mods if mod["mod_id"] == mod_id]
    else:
        named = [mod for mod in mods if mod["name"] == text]
        found = named or [mod for mod in mods if mod["mod_id"].startswith(text.lower())]
    if not text or not found:
        raise NotFound(f"this node has no mod {text!r}; `modswarm ls` lists its mods")
    if len(found) > 1:
        ids = ", ".join(mod["mod_id"][:12] for mod in found)
        raise BadInput(f"{text!r} means several mods; name one by its id: {ids}")
    return found[0]


def _absolute(path: Path) -> Path:
    """The path for the node, whose own folder is another; `..` is taken out, links are kept."""
    return path.resolve() if ".." in path.parts else path.absolute()
