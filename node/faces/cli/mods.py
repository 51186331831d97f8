"""Commands that move mods: share, get, rm."""

import sys
from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal import given
from node.faces.cli.terminal.amounts import Duration, Size
from node.faces.cli.terminal.questions import at_a_terminal, wants
from node.faces.cli.terminal.typos import did_you_mean
from node.faces.cli.terminal.words import PathWord, Word
from node.faces.cli.transfers.origins import settle_origins
from node.faces.cli.transfers.queueing import PRIORITIES
from node.machine.folders import absolute, current_folder
from protocol import limits
from protocol.content.link import is_piece
from protocol.errors import BadInput, NotFound
from protocol.identity import base32_text
from protocol.texts.amounts import counted
from protocol.texts.links import any_link_in, holds_link, link_in
from protocol.texts.wrappings import bare, plain

_ID_CHARS_MIN, _ID_CHARS = 8, 52
_TOLD = 20
"""Mods of one name that are told apart in one message."""


@click.command()
@click.argument("link", required=False, type=Word("a link, which starts with modswarm:"))
@given.link_file
@click.option(
    "--to",
    type=PathWord("the folder to write"),
    metavar="DIR",
    help="The folder to write; by default one of the mod's name, here.",
)
@click.option("--yes", is_flag=True, help="Fetch it unasked, whatever its size.")
@click.option(
    "--max-size",
    type=Size(),
    metavar="SIZE",
    help="Refuse a mod with more bytes than this, such as 500MB or 30GB.",
)
@click.option(
    "--wait",
    type=Duration(),
    metavar="DURATION",
    help="How long to wait for a source when all were lost midway, such as 30s or 1h; by default"
    " 5m, and 0 does not wait.",
)
@click.option(
    "--detach",
    is_flag=True,
    help="Put it into the node's queue, which fetches it in its turn, also after a restart.",
)
@click.option(
    "--priority",
    type=click.Choice(PRIORITIES),
    help="Its place among the downloads of the queue. Default: normal.",
)
@click.option(
    "--origins",
    type=click.Choice(["yes", "no"]),
    help="Whether HTTP servers that the link names may be asked too: they learn this computer's"
    " address. Remembered for the mod; without it you are asked, or else they are not.",
)
@options.asking
def get(
    link: str | None,
    link_file: Path | None,
    to: Path | None,
    yes: bool,
    max_size: int | None,
    wait: float | None,
    detach: bool,
    priority: str | None,
    origins: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """Fetch the mod of LINK; `-` reads the link from standard input, and without it you are asked.

    Other users of this computer can see a link on the command line, with its key.

    On a terminal, shows what the mod is and asks before anything is fetched; elsewhere a mod of
    more than 20 GB is refused without --yes or --max-size.

    Nothing is written under the final name before every byte is verified. Ctrl-C stops it; what
    has arrived stays in the vault, and the same command goes on from there. --detach puts it into
    the queue instead, which `modswarm downloads` shows.
    """
    meant = any_link_in(given.link_text(link, link_file))
    text = str(meant)
    place = {"to": str(absolute_path(to))} if to else {"into": str(current_folder())}
    bound: dict[str, Any] = {"yes": yes} | ({} if max_size is None else {"max_bytes": max_size})
    waiting = {} if wait is None else {"wait_s": wait}
    client = ControlClient(home)
    asks = not (yes or as_json) and at_a_terminal()
    settle_origins(client, meant, origins, asks=asks)
    if asks:
        bound = {"yes": True, "max_bytes": _ask(client, text, max_size)}
    body = {"link": text} | place | bound | waiting
    body |= {} if priority is None else {"priority": priority}
    if detach:
        _queue(client, body, as_json=as_json)
        return
    with bars.bar(quiet=as_json) as bar:
        fetched = bars.follow(client.stream("/v1/downloads", body), bar)
    if as_json:
        output.show_json(fetched)
        return
    _tell_fetched(fetched)


def _queue(client: ControlClient, body: dict[str, Any], *, as_json: bool) -> None:
    told = client.post("/v1/downloads/queue", body)
    if as_json:
        output.show_json(told)
        return
    click.echo(f"Download {told['id']} is in the queue; `modswarm downloads` shows how far it is.")


def _ask(client: ControlClient, link: str, max_size: int | None) -> int:
    """Show what a link would bring, and ask; the bytes that may be written, or an end for a no."""
    with bars.bar(quiet=False) as bar:
        offer = bars.follow(client.stream("/v1/offers", {"link": link}), bar)
    if max_size is not None and offer["disk_bytes"] > max_size:
        return max_size  # the node refuses it, in the same words as where nothing is asked
    files = f"{counted(offer['files'], 'file')}, {output.size(offer['bytes'])}"
    facts = [
        ("Mod", offer["name"]),
        ("Contents", f"{files}; compressed {output.size(offer['sealed_bytes'])}"),
        ("On the disk", f"{output.size(offer['disk_bytes'])}{_in_folders(offer['folders'])}"),
        *(("File", path) for path in offer["paths"]),
    ]
    if offer["files"] > len(offer["paths"]):
        facts.append(("", f"and {offer['files'] - len(offer['paths'])} more"))
    output.show_facts(facts, err=True)
    wants("Fetch and write it?", default=True, otherwise="Nothing was written.")
    return int(offer["disk_bytes"])


def _in_folders(folders: int) -> str:
    return f", in {counted(folders, 'folder')}" if folders else ""


def _tell_fetched(fetched: dict[str, Any]) -> None:
    written = f"{counted(fetched['files'], 'file')}, {output.size(fetched['bytes'])}"
    facts = [("Written to", fetched["path"]), ("Contents", written)]
    if fetched["sources"]:
        sources = _sources(fetched["sources"])
        facts.append(("Fetched", f"{output.size(fetched['bytes_fetched'])} from {sources}"))
        if not all(map(_is_origin, fetched["sources"])):
            facts += [
                ("Looked up in", output.milliseconds(fetched["lookup_ms"])),
                ("Linked in", output.milliseconds(fetched["connect_ms"])),
            ]
    else:
        facts.append(("Fetched", "nothing, it was all in the vault"))
    if fetched["banned"]:
        liars = _sources(fetched["banned"])
        facts.append(("Refused", f"what {liars} sent that was not this mod"))
    output.show_facts([*facts, ("Took", output.duration(fetched["seconds"]))])


def _is_origin(source: str) -> bool:
    """An origin's name is its URL."""
    return "/" in source


def _sources(names: list[str]) -> str:
    """Such as 2 peers and 1 origin."""
    origins = sum(map(_is_origin, names))
    peers = len(names) - origins
    told = [counted(peers, "peer")] if peers or not origins else []
    return " and ".join(told + ([counted(origins, "origin")] if origins else []))


@click.command()
@click.argument(
    "mod", type=Word("the name, the link or the id of a mod, as `modswarm ls` shows them")
)
@click.option("--yes", is_flag=True, help="Do not ask, where MOD is the beginning of an id.")
@options.asking
def rm(mod: str, yes: bool, home: Path, as_json: bool) -> None:
    """Stop sharing MOD and free its space.

    MOD is a name, a link, a mod id, or at least 8 characters of the beginning of one; then you are
    asked whether that mod is meant.
    """
    client = ControlClient(home)
    chosen = choose(mod, client.get("/v1/mods")["mods"])
    whole = (chosen["mod_id"], chosen["name"].lower())
    if not (yes or holds_link(mod) or mod.lower() in whole or bare(plain(mod)).lower() in whole):
        _ask_whether_meant(chosen)
    removed = client.delete("/v1/mods", chosen["mod_id"])
    if as_json:
        output.show_json(removed)
        return
    click.echo(f"Removed {output.printable(chosen['name'] or chosen['mod_id'])}.")


def choose(text: str, mods: list[dict[str, Any]]) -> dict[str, Any]:
    """The one mod that `text` means; raises NotFound, BadInput (several, or a damaged link)."""
    named = [mod for mod in mods if mod["name"] == text]
    if not named and holds_link(text):
        mod_id = text = base32_text(link_in(text).mod_id)
        found = [mod for mod in mods if mod["mod_id"] == mod_id]
    else:
        text = text if named else bare(plain(text))
        named = named or [mod for mod in mods if mod["name"] == text]
        found = named or [mod for mod in mods if mod["mod_id"].startswith(text.lower())]
        if found and not named and len(text) < _ID_CHARS_MIN:
            raise BadInput(
                f"no mod is called {text!r}, and {_ID_CHARS_MIN} characters of an id are the least "
                "that names one; `modswarm ls` lists names and ids"
            )
    if not found:
        if is_piece(text) and len(text) > _ID_CHARS:
            link_in(text)
        names = [mod["name"] for mod in mods]
        hint = did_you_mean(text, names) or "; `modswarm ls` lists its mods"
        raise NotFound(f"this node has no mod {text!r}{hint}")
    if len(found) > 1:
        first = [_told_apart(mod) for mod in found[:_TOLD]]
        more = f", and {len(found) - _TOLD} more in `modswarm ls`" if len(found) > _TOLD else ""
        raise BadInput(f"{text!r} means several mods; name one by its id: {', '.join(first)}{more}")
    return found[0]


def _told_apart(mod: dict[str, Any]) -> str:
    version = f" (version {mod['version']})" if mod["version"] else ""
    return f"{mod['mod_id'][:12]} of {output.moment(mod['added'])}{version}"


def _ask_whether_meant(mod: dict[str, Any]) -> None:
    """Raise BadInput without a terminal; a no ends the command."""
    what = f"{output.printable(mod['name'] or mod['mod_id'])} of {output.moment(mod['added'])}"
    if not sys.stdin.isatty():
        raise BadInput(f"that is the beginning of the id of {what}: say --yes if it is meant")
    question = f"Remove {what}, {output.size(mod['bytes'])}?"
    wants(question, default=False, otherwise="Nothing was removed.")


def absolute_path(path: Path) -> Path:
    """The path for the node, whose own folder is another; `..` is taken out, links are kept.

    Raises BadInput for one that is too long for a request.
    """
    whole = absolute(path)
    if len(str(whole)) > limits.PATH_CHARS:
        raise BadInput(f"the whole path has more than {limits.PATH_CHARS} characters")
    return whole
