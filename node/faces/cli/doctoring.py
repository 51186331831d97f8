"""doctor: what this network is, and whether a friend can be reached and how."""

from pathlib import Path
from typing import Any

import click

from node.faces.api import details
from node.faces.api.details import read_side
from node.faces.cli import exits, networks, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.connecting import PEER_WORD, link_facts, peer_meant, show_tried
from node.links.failure import LinkAttemptFailed
from protocol.errors import ModswarmError
from protocol.texts.amounts import counted


@click.command()
@click.argument("peer", required=False, type=PEER_WORD)
@options.asking
def doctor(peer: str | None, home: Path, as_json: bool) -> int:
    """Say what this network is, and with PEER whether that peer can be reached, and how.

    It asks the running node, which says only what it has found out; PEER is a peer id, and a link
    to it is opened.
    """
    if peer is not None:
        peer = peer_meant(peer)
    client = ControlClient(home, tells_of_clock=False)
    told: dict[str, Any] = {"network": client.get("/v1/network")}
    if not as_json:
        _show_network(told["network"])
    if peer is None:
        if as_json:
            output.show_json(told)
        return exits.OK
    return _try_peer(client, peer, told, as_json)


def _try_peer(client: ControlClient, peer: str, told: dict[str, Any], as_json: bool) -> int:
    """Open a link, and show how or why not; with JSON the failure is a part of the one document."""
    if not as_json:
        click.echo()
    try:
        link = client.post("/v1/connect", {"peer": peer})
    except ModswarmError as failure:
        if not as_json:
            if isinstance(failure, LinkAttemptFailed) and failure.report is not None:
                show_tried(failure.report)
            raise
        output.show_json(told | {"link": None} | details.as_json(failure))
        return exits.exit_status_of(failure)
    if as_json:
        output.show_json(told | {"link": link})
        return exits.OK
    output.show_facts(
        [
            *link_facts(link),
            ("Our network", networks.side(read_side(link["own"]))),
            ("Their network", networks.side(read_side(link["peer"]))),
            ("Expected", networks.expected(link["expected"])),
        ]
    )
    return exits.OK


def _show_network(told: dict[str, Any]) -> None:
    facts = [("Your network", told["sentence"])]
    if told["advice"]:
        facts.append(("What helps", told["advice"]))
    facts.append(("Contacts", _contacts(told)))
    facts += [(f"IPv{one['family']}", networks.family(one)) for one in told["families"]]
    output.show_facts(
        [
            *facts,
            ("UPnP", networks.upnp(told)),
            ("Called through", counted(told["registrars"], "registrar")),
            ("Relays", _relays(told)),
            ("Without UDP", networks.without_udp(told["streams"])),
            ("Clock", networks.clock(told["clock"])),
            ("Line", networks.line(told)),
        ]
    )


def _relays(told: dict[str, Any]) -> str:
    """How many there are to ask: whether one takes a link on is known only once a link needs it."""
    known, in_use = told["relays_known"], told["relays"]
    parts = [f"{counted(known, 'contact')} to ask when a link needs one"]
    if in_use:
        parts.append(f"{counted(in_use, 'relay')} in use")
    if told["hides_address"]:
        parts.append("every link needs one, as this node hides its address")
    return "; ".join(parts)


def _contacts(told: dict[str, Any]) -> str:
    answering = f"{told['contacts']}, {told['distant_contacts']} of them on the internet"
    if told["joined"] and told["contacts"]:
        return answering
    return f"{answering}; {counted(told['known_nodes'], 'node')} known to ask"
