"""follow, unfollow, versions: folders that are kept current, and what versions a mod has."""

from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.mods import absolute_path
from node.faces.cli.terminal import given
from node.faces.cli.terminal.amounts import Size
from node.faces.cli.terminal.questions import at_a_terminal, wants
from node.faces.cli.terminal.typos import did_you_mean
from node.faces.cli.terminal.words import PathWord, Word, shell_word
from node.faces.cli.transfers.origins import settle_origins
from protocol.content.link import LineageLink
from protocol.errors import BadInput, NotFound
from protocol.identity import base32_text
from protocol.texts.amounts import counted
from protocol.texts.links import followed_link_in, holds_link, lineage_link_in

_FOLLOWED = Word("the name, the folder or the link of a mod that is followed")


@click.command()
@click.argument("link", required=False, type=Word("the link of a mod, or what is followed"))
@given.link_file
@click.option(
    "--to",
    type=PathWord("the folder to keep current"),
    metavar="DIR",
    help="The folder to write, and to keep current from now on.",
)
@click.option(
    "--refuse-changed",
    is_flag=True,
    help="Refuse an update where you changed files, rather than keep yours as NAME.local.",
)
@click.option(
    "--max-size",
    type=Size(),
    metavar="SIZE",
    help="Ask before a version that takes more of the disk than this, such as 5GB.",
)
@click.option("--yes", is_flag=True, help="Fetch the first version unasked, whatever its size.")
@click.option(
    "--origins",
    type=click.Choice(("yes", "no")),
    help="Whether the HTTP servers that the link and its mod name may be asked.",
)
@click.option("--accept", is_flag=True, help="Say yes to a version that waits for it.")
@click.option("--back", is_flag=True, help="Go back to the version before, and stay there.")
@click.option("--resume", is_flag=True, help="Go on with the newest version after --back.")
@options.asking
def follow(
    link: str | None,
    link_file: Path | None,
    to: Path | None,
    refuse_changed: bool,
    max_size: int | None,
    yes: bool,
    origins: str | None,
    accept: bool,
    back: bool,
    resume: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Keep a folder current with the mod of LINK; without a word list what is followed.

    `-` reads the link from standard input, and --to alone asks for it: other users of this computer
    can see a link on the command line, with its key.

    New versions come by themselves, within seconds or minutes. Files that you changed are kept
    beside the new ones. With --accept, --back or --resume LINK is what `modswarm follow` lists: a
    name, a folder or a link.
    """
    client = ControlClient(home)
    verbs = [verb for verb, on in {"agree": accept, "back": back, "resume": resume}.items() if on]
    if len(verbs) + (to is not None) > 1:
        raise BadInput("give one of --to, --accept, --back and --resume")
    if verbs:
        if link is None:
            raise BadInput("say which: a name, a folder or a link, as `modswarm follow` lists them")
        _change(client, link, verbs[0], as_json=as_json)
        return
    if link is None and link_file is None and to is None:
        _list(client, as_json=as_json)
        return
    if to is None:
        raise BadInput("name the folder to keep current with --to DIR")
    body: dict[str, Any] = {"to": str(absolute_path(to))}
    body |= {"refuse_changed": True} if refuse_changed else {}
    body |= {} if max_size is None else {"max_bytes": max_size}
    body |= {"yes": True} if yes else {}
    followed = followed_link_in(given.link_text(link, link_file))
    _begin(client, followed, body, origins, as_json=as_json)


def _begin(
    client: ControlClient,
    link: LineageLink,
    body: dict[str, Any],
    origins: str | None,
    *,
    as_json: bool,
) -> None:
    body = {"link": str(link)} | body
    asks = not ("yes" in body or as_json) and at_a_terminal()
    settle_origins(client, link, origins, asks=asks)
    if asks:
        _ask(client, body["link"])
        body["yes"] = True
    with bars.bar(quiet=as_json) as bar:
        told = bars.follow(client.stream("/v1/follows", body), bar)
    if as_json:
        output.show_json(told)
        return
    name = output.printable(told["name"])
    path = output.printable(told["path"])
    click.echo(f"Following {name}: version {told['version']} is in {path}.")


def _ask(client: ControlClient, link: str) -> None:
    with bars.bar(quiet=False) as bar:
        offer = bars.follow(client.stream("/v1/offers", {"link": link}), bar)
    files = f"{counted(offer['files'], 'file')}, {output.size(offer['bytes'])}"
    output.show_facts([("Mod", offer["name"]), ("Contents", files)], err=True)
    wants("Fetch it and keep it current?", default=True, otherwise="Nothing was written.")


def _list(client: ControlClient, *, as_json: bool) -> None:
    told = client.get("/v1/follows")
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("NAME", "VERSION", "NEWEST", "STATE", "FOLDER"),
        (
            (
                one["name"],
                str(one["version"] or "none"),
                str(one["newest"] or "not known"),
                one["status"],
                one["path"],
            )
            for one in told["follows"]
        ),
        empty="Nothing is followed.",
    )
    for one in told["follows"]:
        for sentence in _remarks(one):
            click.echo(f"{output.printable(one['name'] or one['path'])}: {sentence}.", err=True)


def _remarks(one: dict[str, Any]) -> list[str]:
    told = [one["message"]] if one["message"] else []
    if one["status"] == "asks":
        # Not by its name: that is its publisher's, who must not write a person's command line.
        told[-1] += f"; `modswarm follow --accept {shell_word(one['path'])}` takes it"
    if one["expired"]:
        told.append("its publisher has not renewed it in time: there may be newer versions")
    if one["forked"]:
        told.append("two machines have gone on with it, each by itself: ask its publisher")
    return told


def _choose(text: str, follows: list[dict[str, Any]]) -> dict[str, Any]:
    """The one that `text` means; raises NotFound, BadInput."""
    if holds_link(text):
        key = base32_text(lineage_link_in(text).lineage_key)
        found = [one for one in follows if one["lineage"] == key]
    else:
        path = absolute_path(Path(text))
        paths = {str(path), str(path.resolve())}  # where it really is, unless a link took its place
        found = [one for one in follows if one["name"] == text or one["path"] in paths]
    if not found:
        hint = did_you_mean(text, [one["name"] for one in follows])
        raise NotFound(f"{text!r} is not followed{hint or '; `modswarm follow` lists what is'}")
    if len(found) > 1:
        folders = ", ".join(one["path"] for one in found)
        raise BadInput(f"{text!r} means several mods; name one by its folder: {folders}")
    return found[0]


def _change(client: ControlClient, link: str, verb: str, *, as_json: bool) -> None:
    chosen = _choose(link, client.get("/v1/follows")["follows"])
    path, name = f"/v1/follows/{chosen['lineage']}/{verb}", output.printable(chosen["name"])
    if verb != "back":
        told = client.post(path, {})
        version = f"Version {chosen['waiting_version']} of {{}} comes."
        said = version if verb == "agree" else "{} is followed again."
    else:
        with bars.bar(quiet=as_json) as bar:
            told = bars.follow(client.stream(path, {}), bar)
        said = f"{{}} is at version {told['follow']['version']} again, and stays there."
    if as_json:
        output.show_json(told)
        return
    click.echo(said.format(name))
    for kept in told.get("kept_local", ()):
        click.echo(f"What you changed is kept as {output.printable(kept)}.")


@click.command()
@click.argument("mod", type=_FOLLOWED)
@options.asking
def unfollow(mod: str, home: Path, as_json: bool) -> None:
    """Keep the folder of MOD current no more; its files stay."""
    client = ControlClient(home)
    chosen = _choose(mod, client.get("/v1/follows")["follows"])
    told = client.delete("/v1/follows", chosen["lineage"])
    if as_json:
        output.show_json(told)
        return
    name = output.printable(chosen["name"] or chosen["path"])
    click.echo(f"{name} is followed no more; {output.printable(told['path'])} stays as it is.")


@click.command()
@click.argument("link", required=False, type=Word("the link of a mod through all its versions"))
@given.link_file
@options.asking
def versions(link: str | None, link_file: Path | None, home: Path, as_json: bool) -> None:
    """List the newest versions of the mod of LINK; `-` reads it from standard input.

    Without it you are asked: other users of this computer can see it on the command line, with its
    key. `modswarm get LINK@3` fetches version 3.
    """
    text = str(lineage_link_in(given.link_text(link, link_file)))
    client = ControlClient(home)
    with bars.bar(quiet=as_json) as bar:
        told = bars.follow(client.stream("/v1/versions", {"link": text}), bar)
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("VERSION", "NAME", "FILES", "SIZE", "HERE", "ID"),
        (
            (
                *(str(one["version"]), one["name"], str(one["files"])),
                *(output.size(one["bytes"]), output.yes_no(one["here"]), one["mod_id"][:12]),
            )
            for one in told["versions"]
        ),
        empty="No version is known.",
    )
    if told["unknown_before"]:
        why = output.printable(told["message"])
        click.echo(
            f"What came before version {told['unknown_before']} is not known: {why}.", err=True
        )
    if told["expired"]:
        click.echo("Its publisher has not renewed it in time: there may be newer ones.", err=True)
    if told["forked"]:
        click.echo("Two machines have gone on with it, each by itself.", err=True)
