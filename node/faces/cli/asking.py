"""Commands that ask a running node: status, id, ls, peers, vault with scrub, pin, unpin."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from node.faces.cli import bars, exits, networks, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.mods import choose
from node.faces.cli.terminal.words import Word
from protocol.causes.cause import Cause
from protocol.content.link import ModLink
from protocol.texts.amounts import counted
from protocol.texts.links import link_in


@click.command()
@options.asking
def status(home: Path, as_json: bool) -> None:
    """Show how the node is doing."""
    told = ControlClient(home, tells_of_clock=False).get("/v1/status")
    if as_json:
        output.show_json(told)
        return
    output.show_facts(
        (
            ("Peer id", told["peer_id"]),
            ("Listening on", ", ".join(told["addresses"]) or "-"),
            ("Running for", output.duration(told["uptime_s"])),
            ("Reachable", _reachable(told["reachable"])),
            ("Joined", _joined(told)),
            ("Contacts", told["contacts"]),
            ("Clock", networks.clock(told["clock"])),
            ("Line", networks.line(told)),
            ("Registered at", counted(len(told["registrars"]), "registrar")),
            ("Registrar for", counted(told["registered_peers"], "peer")),
            ("Calls forwarded", told["forwarded_calls"]),
            ("Records stored", told["records"]),
            ("Own records refused", _counted(told["records_refused"])),
            ("Relay for", _relaying(told["relay"])),
            ("Streams for", counted(told["streams"]["served"], "peer")),
            ("Without UDP", networks.without_udp(told["streams"])),
            ("Links", told["links"]),
            ("Traffic sent", output.size(told["bytes_sent"])),
            ("Traffic received", output.size(told["bytes_received"])),
            ("Refused", _counted(told["refused"])),
        )
    )


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in reasons.items()) or "nothing"


def _relaying(relay: dict[str, Any]) -> str:
    if not relay["on"]:
        return "no peers: it is off"
    peers = counted(relay["allocations"], "peer")
    today, most = output.size(relay["bytes_today"]), output.size(relay["bytes_a_day"])
    return f"{peers}, {today} today of {most}, {output.size(relay['rate'])}/s at most"


def _reachable(reachable: bool | None) -> str:
    return "not known" if reachable is None else output.yes_no(reachable)


def _joined(told: dict[str, Any]) -> str:
    if not told["joined"] and not told["known_nodes"]:
        return f"no: {Cause.NO_NODE_KNOWN.sentence}. {Cause.NO_NODE_KNOWN.advice}"
    if not told["joined"]:
        contacts = told["contacts"]
        return f"not yet: {_answering(contacts)}" if contacts else "not yet: no other node answers"
    if told["join_ms"] is None:
        return "yes"
    how = "" if told["known_nodes"] else ", when another node joined through it"
    return f"yes, after {output.duration(told['join_ms'] / 1000)}{how}"


def _answering(contacts: int) -> str:
    return f"it goes on, and {counted(contacts, 'node')} answered so far"


@click.command("id")
@options.asking
def identity(home: Path, as_json: bool) -> None:
    """Show the node's peer id, and what to give to friends."""
    client = ControlClient(home)
    told = client.get("/v1/id")
    if as_json:
        output.show_json(told)
        return
    reachable = client.get("/v1/status")["reachable"]
    labelled = [(_label(one, reachable), one) for one in told["bootstrap_addresses"]]
    if all(label != _FOR_FRIENDS for label, _ in labelled):
        labelled.append((_FOR_FRIENDS, _NONE_KNOWN if reachable is None else _NONE))
    output.show_facts([("Peer id", told["peer_id"]), *labelled])


_ID_CHARS = 12
_ON_THIS_COMPUTER = "Address on this computer"
_IN_OWN_NETWORK = "Address in your own network"
_FOR_FRIENDS = "Address for friends"
_NONE = (
    "none, as this network lets in only answers: they join through another node, and then "
    "find this one by its peer id"
)
_NONE_KNOWN = (
    "none is known yet to let them in: ask again in some minutes, or let them join through "
    "another node"
)


def _label(friend_address: str, reachable: bool | None) -> str:
    """Whom `host:port/peer-id` is good for."""
    host = ip_address(friend_address.rpartition("/")[0].rpartition(":")[0].strip("[]"))
    if host.is_loopback:
        return _ON_THIS_COMPUTER
    return _FOR_FRIENDS if reachable is not False and host.is_global else _IN_OWN_NETWORK


@click.command()
@options.asking
def ls(home: Path, as_json: bool) -> None:
    """List the mods that the node has."""
    told = ControlClient(home).get("/v1/mods")
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("NAME", "VERSION", "ID", "ADDED", "FILES", "SIZE", "FROM", "COMPLETE", "LINK"),
        (
            (
                mod["name"] or "(unknown)",
                str(mod["version"] or ""),
                mod["mod_id"][:_ID_CHARS],
                output.moment(mod["added"]),
                mod["files"],
                output.size(mod["bytes"]),
                "here" if mod["shared"] else "others",
                output.yes_no(mod["complete"]),
                mod["link"] or f"(no key) {mod['mod_id']}",
            )
            for mod in told["mods"]
        ),
        empty="No mods yet. Share one with `modswarm share FOLDER`.",
    )


@click.command()
@click.option(
    "--has",
    type=Word("a link, which starts with modswarm:"),
    metavar="LINK",
    help="Also ask which of the peers serve this mod; status 4 if none is known to.",
)
@options.asking
def peers(has: str | None, home: Path, as_json: bool) -> int:
    """List the peers that the node knows."""
    told = ControlClient(home).get("/v1/peers", has=has and _without_key(has))
    is_held = has is None or any(peer["has"] for peer in told["peers"])
    status = exits.OK if is_held else exits.NOT_FOUND
    if as_json:
        output.show_json(told)
        return status
    output.show_table(
        ("PEER", "ADDRESS", "KIND", "SEEN", "ROUND TRIP", "HAS IT"),
        (
            (
                peer["peer_id"],
                peer["address"] or "-",
                peer["kind"],
                output.duration(peer["last_seen_s"]),
                output.milliseconds(peer["rtt_ms"]),
                output.yes_no(peer["has"]),
            )
            for peer in told["peers"]
        ),
        empty="No peers yet. `modswarm status` shows whether the node has joined.",
    )
    if not is_held:
        click.echo("None of these is known to have the mod.", err=True)
    return status


def _without_key(text: str) -> str:
    """A pasted link as the node is asked for it, which needs no key; raises BadLink."""
    return str(ModLink(link_in(text).mod_id))


@click.command()
@options.asking
def vault(home: Path, as_json: bool) -> None:
    """Show what each mod takes of the vault, and what may be kept."""
    told = ControlClient(home).get("/v1/vault")
    if as_json:
        output.show_json(told)
        return
    output.show_table(
        ("NAME", "ID", "OWN", "IN COMMON", "USED", "PINNED", "FOLLOWED", "IN USE", "COMPLETE"),
        (
            (
                mod["name"] or "(unknown)",
                mod["mod_id"][:_ID_CHARS],
                output.size(mod["own_bytes"]),
                output.size(mod["shared_bytes"]),
                output.moment(mod["used"]),
                *(
                    output.yes_no(mod[word])
                    for word in ("pinned", "followed", "in_use", "complete")
                ),
            )
            for mod in told["mods"]
        ),
        empty="No mods yet. Share one with `modswarm share FOLDER`.",
    )
    left = output.size(told["kept_free_bytes"])
    bound, budget = output.size(told["bound_bytes"]), output.size(told["budget_bytes"])
    output.show_facts(
        (
            ("All of it", output.size(told["bytes"])),
            ("Unneeded", f"{output.size(told['unneeded_bytes'])} more wait to be freed"),
            ("Budget", f"{bound} of {budget} are taken by what is not pinned, followed or in use"),
            ("Disk", f"{output.size(told['disk_free_bytes'])} free, of which {left} stay free"),
        )
    )


@click.command()
@options.asking
def scrub(home: Path, as_json: bool) -> int:
    """Check every byte of the vault, and fetch what is damaged from other peers.

    Ctrl-C stops it, and the same command goes on from there. Status 4 if something still lacks.
    """
    with bars.bar(quiet=as_json) as bar:
        found = bars.follow(ControlClient(home).stream("/v1/scrubs", {}), bar)
    lacking = found["lacking"]
    if as_json:
        output.show_json(found)
    else:
        bad = found["bad"]
        damaged = f"{counted(bad, 'chunk')} damaged" if bad else "all as it was stored"
        output.show_facts(
            [
                ("Checked", f"{output.size(found['bytes'])}, {damaged}"),
                *(("Repaired", mod_id) for mod_id in found["repaired"]),
                *(("Lacks some", mod_id) for mod_id in lacking),
            ]
        )
        if lacking:
            click.echo("What these lack no peer gave now; the next scrub asks again.", err=True)
    return exits.NOT_FOUND if lacking else exits.OK


_MOD = Word("the name, the link or the id of a mod, as `modswarm ls` shows them")


@click.command()
@click.argument("mod", type=_MOD)
@options.asking
def pin(mod: str, home: Path, as_json: bool) -> None:
    """Keep MOD in the vault whatever its budget says.

    MOD is a name, a link, a mod id, or at least 8 characters of the beginning of one. What this
    node shares is pinned from the start; pinned by you, an older version also stays where only the
    newest ones are kept.
    """
    client = ControlClient(home)
    chosen = choose(mod, client.get("/v1/mods")["mods"])
    told = client.post("/v1/pins", {"mod_id": chosen["mod_id"]})
    if as_json:
        output.show_json(told)
        return
    click.echo(f"Pinned {output.printable(chosen['name'] or chosen['mod_id'])}.")


@click.command()
@click.argument("mod", type=_MOD)
@options.asking
def unpin(mod: str, home: Path, as_json: bool) -> None:
    """Let MOD be evicted from the vault once its budget has no room for it."""
    client = ControlClient(home)
    chosen = choose(mod, client.get("/v1/mods")["mods"])
    told = client.delete("/v1/pins", chosen["mod_id"])
    if as_json:
        output.show_json(told)
        return
    click.echo(f"{output.printable(chosen['name'] or chosen['mod_id'])} is pinned no more.")
