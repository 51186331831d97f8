"""Commands that move mods: share, get, rm."""

import sys
from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal import given
from node.faces.cli.terminal.amounts import Duration, Size
from node.faces.cli.terminal.questions import wants
from node.faces.cli.terminal.typos import did_you_mean
from node.faces.cli.terminal.words import PathWord, Word
from node.faces.cli.transfers.origins import settle_origins
from node.faces.cli.transfers.queueing import PRIORITIES
from node.machine.folders import absolute, current_folder
from protocol import limits
from protocol.causes.cause import Cause
from protocol.content.file_paths import quoted
from protocol.content.link import is_piece
from protocol.content.origins.urls import origin_url
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
from protocol.texts.amounts import counted
from protocol.texts.links import holds_link, link_in
from protocol.texts.wrappings import bare, plain

_ID_CHARS_MIN, _ID_CHARS = 8, 52
_TOLD = 20
"""Mods of one name that are told apart in one message."""

_CAPS = {
    StoreFull.name: "their memory for announcements is full",
    KeyFull.name: "they know as many holders of this mod as they may",
    PublisherFull.name: "they keep as many announcements of this node as of any",
    StorerFull.name: "this node has stored as many announcements with them as it may",
}
"""What each bound on stored records means to a person."""

_DOCTOR = "`modswarm doctor` says what all contacts find"

_REFUSALS = _CAPS | {
    IssuedInFuture.name: "by their clocks this computer's is ahead by more than a minute "
    f"({_DOCTOR})",
    Expired.name: f"by their clocks this computer's is far behind ({_DOCTOR})",
}
"""Why contacts refuse an announcement, as they say."""


@click.command()
@click.argument("path", type=PathWord("the folder or the file to share, such as ./hats"))
@click.option(
    "--name",
    type=Word("a name for the mod", limits.MOD_NAME_BYTES),
    help="What the mod is called; by default as its folder is.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    type=Word('a pattern of what to leave out, such as "*.log" or /saves/'),
    help="Leave out what this means, as in a .gitignore; may be given several times.",
)
@click.option(
    "--origin",
    multiple=True,
    metavar="URL",
    type=Word("the URL of a folder with the exported mod, such as https://mods.example/files"),
    help="Name an HTTP server in the link that has what `modswarm export` wrote; repeatable.",
)
@options.asking
def share(
    path: Path,
    name: str | None,
    exclude: tuple[str, ...],
    origin: tuple[str, ...],
    home: Path,
    as_json: bool,
) -> None:
    """Share the folder or the file PATH, and print its link.

    The node keeps a sealed copy of the files in its home. What files .modswarmignore in the folder
    mean, in the syntax of .gitignore, is left out each time, and these files themselves.
    """
    body: dict[str, Any] = {"path": str(_absolute(path))}
    body |= ({} if name is None else {"name": name}) | ({"exclude": exclude} if exclude else {})
    body |= {"origins": list(map(origin_url, origin))} if origin else {}
    with bars.bar(quiet=as_json) as bar:
        shared = bars.follow(ControlClient(home).stream("/v1/mods", body), bar)
    if as_json:
        output.show_json(shared)
        return
    published = shared["published"]
    files = f"{counted(shared['files'], 'file')}, {output.size(shared['bytes'])}"
    new = f"{output.size(shared['new_bytes'])} new in the vault"
    click.echo(f"Sharing {output.printable(shared['name'])}: {files}, {new}.", err=True)
    if shared["left_out"] or exclude:
        click.echo(_left_out(shared), err=True)
    click.echo(_announced(published), err=True)
    click.echo(shared["link"])


def _left_out(shared: dict[str, Any]) -> str:
    count, paths = shared["left_out"], shared["left_out_paths"]
    if not count:
        return "Nothing was left out: the patterns mean no file here."
    more = [f"and {count - len(paths)} more"] if count > len(paths) else []
    told = f"Left out: {', '.join([*map(quoted, paths), *more])}."
    idle = [
        f"\n--exclude {quoted(pattern)} changed nothing." for pattern in shared["idle_excludes"]
    ]
    return "".join((told, *idle))


def _announced(published: dict[str, Any]) -> str:
    contacts = counted(published["asked"], "contact")
    refused: dict[str, int] = published["refused"]
    if published["confirmed"]:
        where = f"{published['confirmed']} of {contacts}"
        caps = {name: count for name, count in refused.items() if name in _CAPS}
        but = "".join(f"; {count} refused: {_CAPS[name]}" for name, count in caps.items())
        return f"Announced at {where}{but}. Anyone with this link can fetch it:"
    if published["cause"]:
        cause = Cause(published["cause"])
        why = f"{cause.sentence}. {cause.advice}"
    else:
        why = f"{_why_not_announced(contacts, refused)}."
    return f"Not announced yet: {why} The node goes on trying. The link is:"


def _why_not_announced(contacts: str, refused: dict[str, int]) -> str:
    """Who said what, and how many said nothing: the word of one is not given for that of all."""
    silent = refused.get(TimedOut.name, 0)
    answered = {name: count for name, count in refused.items() if name != TimedOut.name}
    if not answered:
        return f"of {contacts} that should keep the announcement none answers"
    most = max(answered, key=lambda name: answered[name])
    why = _REFUSALS.get(most, most.replace("_", " "))
    told = f"{answered[most]} of {contacts} refused the announcement: {why}"
    return f"{told}; {silent} did not answer" if silent else told


@click.command()
@click.argument("link", required=False, type=Word("a link, which starts with modswarm:"))
@click.option(
    "--link-file",
    type=PathWord("a file that holds a link", dir_okay=False),
    metavar="FILE",
    help="Read the link from this file.",
)
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
    meant = link_in(given.link_text(link, link_file))
    text = str(meant)
    place = {"to": str(_absolute(to))} if to else {"into": str(current_folder())}
    bound: dict[str, Any] = {"yes": yes} | ({} if max_size is None else {"max_bytes": max_size})
    waiting = {} if wait is None else {"wait_s": wait}
    client = ControlClient(home)
    asks = not (yes or as_json) and _at_a_terminal()
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


def _at_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


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
        facts += [
            ("Fetched", f"{output.size(fetched['bytes_fetched'])} from {sources}"),
            ("Looked up in", output.milliseconds(fetched["lookup_ms"])),
            ("Linked in", output.milliseconds(fetched["connect_ms"])),
        ]
    else:
        facts.append(("Fetched", "nothing, it was all in the vault"))
    if fetched["banned"]:
        liars = _sources(fetched["banned"])
        facts.append(("Refused", f"what {liars} sent that was not this mod"))
    output.show_facts([*facts, ("Took", output.duration(fetched["seconds"]))])


def _sources(names: list[str]) -> str:
    """2 peers and 1 origin: the names of these are URLs."""
    origins = sum("/" in name for name in names)
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
        first = [f"{mod['mod_id'][:12]} of {output.moment(mod['added'])}" for mod in found[:_TOLD]]
        more = f", and {len(found) - _TOLD} more in `modswarm ls`" if len(found) > _TOLD else ""
        raise BadInput(f"{text!r} means several mods; name one by its id: {', '.join(first)}{more}")
    return found[0]


def _ask_whether_meant(mod: dict[str, Any]) -> None:
    """Raise BadInput without a terminal; a no ends the command."""
    what = f"{output.printable(mod['name'] or mod['mod_id'])} of {output.moment(mod['added'])}"
    if not sys.stdin.isatty():
        raise BadInput(f"that is the beginning of the id of {what}: say --yes if it is meant")
    question = f"Remove {what}, {output.size(mod['bytes'])}?"
    wants(question, default=False, otherwise="Nothing was removed.")


def _absolute(path: Path) -> Path:
    """The path for the node, whose own folder is another; `..` is taken out, links are kept.

    Raises BadInput for one that is too long for a request.
    """
    whole = absolute(path)
    if len(str(whole)) > limits.PATH_CHARS:
        raise BadInput(f"the whole path has more than {limits.PATH_CHARS} characters")
    return whole
