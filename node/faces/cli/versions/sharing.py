"""The command that makes a mod of a folder, and its next version when it is given again."""

from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.mods import absolute_path
from node.faces.cli.terminal.questions import at_a_terminal, wants
from node.faces.cli.terminal.words import PathWord, Word
from protocol import limits
from protocol.causes.cause import Cause
from protocol.content.file_paths import quoted
from protocol.content.origins.urls import named_origin
from protocol.errors import (
    BadInput,
    Expired,
    IssuedInFuture,
    KeyFull,
    NameTaken,
    PublisherFull,
    StoreFull,
    StorerFull,
    TimedOut,
)
from protocol.texts.amounts import counted

_CAPS = {
    StoreFull.name: "their memory for announcements is full",
    KeyFull.name: "they know as many holders of this mod as they may",
    PublisherFull.name: "they keep as many announcements of this node as of any",
    StorerFull.name: "this node has stored as many announcements with them as it may",
}
"""What each bound on stored records means to a person."""

_NO_ORIGIN = "none"

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
    "--as",
    "continued",
    type=Word("the name of a mod that was shared from here", limits.MOD_NAME_BYTES),
    metavar="NAME",
    help="Make this the next version of the mod NAME, which was made of another folder.",
)
@click.option("--no-times", is_flag=True, help="Do not tell when the files were modified.")
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
    help="Name an HTTP server in the links that has what `modswarm export` wrote; repeatable. The"
    " next versions name it too, until others or `--origin none` are given.",
)
@options.asking
def share(
    path: Path,
    name: str | None,
    continued: str | None,
    no_times: bool,
    exclude: tuple[str, ...],
    origin: tuple[str, ...],
    home: Path,
    as_json: bool,
) -> None:
    """Share the folder or the file PATH, and print its link.

    Shared again, it is the next version of the same mod: all that follow it get what has changed.

    The node keeps a sealed copy of the files in its home. What files .modswarmignore in the folder
    mean, in the syntax of .gitignore, is left out each time, and these files themselves.
    """
    if name is not None and continued is not None:
        raise BadInput("--name begins a mod of its own and --as continues one: give one of them")
    body: dict[str, Any] = {"path": str(absolute_path(path))}
    body |= ({} if name is None else {"name": name}) | ({"exclude": exclude} if exclude else {})
    body |= {"origins": _origins(origin)} if origin else {}
    body |= {} if continued is None else {"name": continued, "continues": True}
    body |= {"times": False} if no_times else {}
    try:
        shared = _shared(home, body, as_json=as_json)
    except NameTaken as taken:
        if as_json or not at_a_terminal():
            raise
        click.echo(f"{taken}.", err=True)
        wants("Is it the next version of that mod?", default=False, otherwise=taken.advice)
        known = {"name": path.resolve().name} | body
        shared = _shared(home, known | {"continues": True}, as_json=as_json)
    if as_json:
        output.show_json(shared)
        return
    click.echo(_told(shared), err=True)
    if shared["left_out"] or exclude:
        click.echo(_left_out(shared), err=True)
    if shared["origins"]:
        click.echo(_named(shared["origins"], given=bool(origin)), err=True)
    click.echo("By this link people follow it, and get each version as it comes:", err=True)
    click.echo(shared["lineage"], err=True)
    click.echo(_announced(shared["published"]), err=True)
    click.echo(shared["link"])


def _origins(given: tuple[str, ...]) -> list[str]:
    """The servers to name; raises BadInput."""
    if _NO_ORIGIN not in given:
        return list(map(named_origin, given))
    if len(given) > 1:
        raise BadInput(f"--origin {_NO_ORIGIN} names no server, so no other --origin goes with it")
    return []


def _named(origins: list[str], *, given: bool) -> str:
    until = "" if given else f"; `--origin {_NO_ORIGIN}` takes them out"
    return f"The links name {', '.join(origins)} beside peers{until}."


def _shared(home: Path, body: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    with bars.bar(quiet=as_json) as bar:
        shared: dict[str, Any] = bars.follow(ControlClient(home).stream("/v1/mods", body), bar)
    return shared


def _told(shared: dict[str, Any]) -> str:
    files = f"{counted(shared['files'], 'file')}, {output.size(shared['bytes'])}"
    new = f"{output.size(shared['new_bytes'])} new in the vault"
    name, version = output.printable(shared["name"]), shared["version"]
    if not shared["is_new"]:
        return f"Sharing {name}: {files}; nothing has changed since version {version}."
    what = name if version == 1 else f"version {version} of {name}"
    return f"Sharing {what}: {files}, {new}."


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
