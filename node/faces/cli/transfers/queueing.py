"""downloads, pause, resume, cancel: the queue of downloads."""

from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal.words import Word
from protocol.errors import BadInput, NotFound
from protocol.identity import base32_text
from protocol.texts.amounts import counted
from protocol.texts.links import holds_link, link_in

PRIORITIES = ("high", "normal", "low")
_CHOSEN = Word("the number, the name or the link of a download, as `modswarm downloads` shows it")
_ENDED = ("done", "failed")


@click.command()
@options.asking
def downloads(home: Path, as_json: bool) -> None:
    """List the downloads: those that go on, wait for their turn, rest, or ended lately."""
    told = ControlClient(home).get("/v1/downloads")
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("ID", "NAME", "STATE", "PRIORITY", "DONE", "RATE", "LEFT", "FROM", "PLACE"),
        map(_row, told["downloads"]),
        empty="No downloads. `modswarm get --detach` puts one into the queue.",
    )
    for one in told["downloads"]:
        if one["reason"]:
            click.echo(f"{one['id']}: {output.sentence(one['reason'])}{_again(one)}", err=True)
        for source in (one["progress"] or {}).get("rates", ()):
            rate = output.size(source["bytes_per_second"])
            click.echo(f"{one['id']}: {rate}/s from {source['source']}", err=True)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    progress = one["progress"] if one["state"] == "active" else None
    return (
        str(one["id"]),
        one["name"] or one["mod_id"][:12],
        one["state"],
        one["priority"],
        bars.done_share(one["progress"]) if one["state"] != "done" else "100 %",
        bars.rate(progress) if progress else "-",
        bars.time_left(progress) if progress else "-",
        counted(progress["sources"], "source") if progress and progress["sources"] else "-",
        one["place"],
    )


def _again(one: dict[str, Any]) -> str:
    wait_s = one["retry_s"]
    return "" if wait_s is None else f" It is tried again in {output.duration(wait_s)}."


@click.command()
@click.argument("download", type=_CHOSEN)
@options.asking
def pause(download: str, home: Path, as_json: bool) -> None:
    """Let DOWNLOAD rest until it is resumed, also over a restart; what came is kept."""
    client = ControlClient(home)
    chosen = _choose(client, download)
    told = client.post(f"/v1/downloads/{chosen['id']}/pause", {})
    _show(told, "Paused download {}", as_json=as_json)


@click.command()
@click.argument("download", type=_CHOSEN)
@click.option("--priority", type=click.Choice(PRIORITIES), help="Change its priority as well.")
@options.asking
def resume(download: str, priority: str | None, home: Path, as_json: bool) -> None:
    """Let DOWNLOAD go on that rests, failed, or waits to be tried again."""
    client = ControlClient(home)
    body = {} if priority is None else {"priority": priority}
    chosen = _choose(client, download)
    told = client.post(f"/v1/downloads/{chosen['id']}/resume", body)
    if chosen["state"] != "active":
        words = "Resumed download {}"
    elif priority is None:
        words = "Download {} goes on already"
    else:
        words = f"Download {{}} goes on, with priority {priority}"
    _show(told, words, as_json=as_json)


@click.command()
@click.argument("download", type=_CHOSEN)
@options.asking
def cancel(download: str, home: Path, as_json: bool) -> None:
    """End DOWNLOAD and forget it. What has arrived stays in the vault until `modswarm rm`."""
    client = ControlClient(home)
    told = client.delete("/v1/downloads", str(_choose(client, download)["id"]))
    had_ended = told["state"] in _ENDED
    words = (
        f"Forgot download {{}}, which was {told['state']}" if had_ended else "Cancelled download {}"
    )
    _show(told, words, as_json=as_json)
    kept = (told["progress"] or {}).get("bytes_done", 0)
    if kept and told["state"] != "done" and not as_json:
        click.echo(
            f"{output.size(kept)} of it stay in the vault: the same `modswarm get` goes on from"
            " there, and `modswarm rm` frees them."
        )


def _show(told: dict[str, Any], words: str, *, as_json: bool) -> None:
    """`words` have a place for its number and name."""
    if as_json:
        output.show_json(told)
        return
    name = told["name"] or told["mod_id"][:12]
    click.echo(words.format(f"{told['id']} ({output.printable(name)})") + ".")


def _choose(client: ControlClient, text: str) -> dict[str, Any]:
    """The one download that `text` means; raises NotFound, BadInput."""
    listed = client.get("/v1/downloads")["downloads"]
    if holds_link(text):
        mod_id = base32_text(link_in(text).mod_id)
        found = [one for one in listed if one["mod_id"] == mod_id]
    else:
        found = [one for one in listed if str(one["id"]) == text]
        found = found or [one for one in listed if text in (one["name"], one["mod_id"])]
    going = [one for one in found if one["state"] not in _ENDED]
    found = going or found
    if not found:
        raise NotFound(f"there is no download {text[:80]!r}; `modswarm downloads` lists them")
    if len(found) > 1:
        numbers = ", ".join(str(one["id"]) for one in found)
        raise BadInput(f"{text[:80]!r} means several downloads: name one by its number, {numbers}")
    chosen: dict[str, Any] = found[0]
    return chosen
