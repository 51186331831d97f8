"""run: the node itself, with its control API, until it is asked to end."""

import asyncio
import logging
import shlex
from importlib import metadata
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.faces.cli import exits, options, output
from protocol.addresses import is_loopback

if TYPE_CHECKING:
    from node.faces.api.server import ControlServer
    from node.faces.cli.ending import Ending
    from node.runtime import Node

_STOP_S = 1.7
_LEAVE_S = 0.2
"""Together they keep the promise that a node ends within 2 s."""


@click.command()
@options.home
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help="Where to take UDP, one for each of IPv4 and IPv6; port 0 is any. Default: port 4001 on "
    "all addresses, or loopback if every bootstrap is there.",
)
@click.option(
    "--bootstrap",
    multiple=True,
    metavar="HOST:PORT[/PEER]",
    help="A node to join through, as its `modswarm run` printed it; repeatable.",
)
@click.option(
    "--unreachable",
    is_flag=True,
    help="Take traffic only from addresses that the node sent to lately, as behind a router.",
)
@click.option(
    "--relay",
    type=click.Choice(["on", "off"]),
    help="Whether peers that cannot reach one another may use this node as relay. Default: on.",
)
@click.option(
    "--hide-address",
    is_flag=True,
    help="Link through relays only, so that the peers of links do not learn the address.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each event.")
@click.option("-v", "--verbose", count=True, help="Log more on standard error; twice for all.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
def run(
    home: Path,
    listen: tuple[str, ...],
    bootstrap: tuple[str, ...],
    unreachable: bool,
    relay: str | None,
    hide_address: bool,
    as_json: bool,
    verbose: int,
    until_stdin_closes: bool,
) -> int:
    """Run a node until Ctrl-C.

    Settings also come from `config.toml` in the home; options given here overrule it. A second
    Ctrl-C ends the node at once, without an orderly shutdown.
    """
    from node.faces.cli.ending import Ending, leave_within

    ending = Ending()
    ending.watch_signals()
    _log_to_stderr(verbose)
    out = RunOutput(home, as_json)
    try:
        node = _open(
            home,
            out,
            listen=listen,
            bootstrap=bootstrap,
            unreachable=unreachable,
            relay=relay,
            hide_address=hide_address,
        )
        status = asyncio.run(_serve(node, ending, out, until_stdin_closes))
    except KeyboardInterrupt:
        status = exits.OK
    leave_within(_LEAVE_S, status)
    return status


class RunOutput:
    """The output of a running node: sentences for people, or one JSON object per event."""

    def __init__(self, home: Path, as_json: bool) -> None:
        self._home = home
        self._as_json = as_json

    def say(self, sentence: str) -> None:
        """Show a sentence."""
        click.echo(output.printable(sentence), err=self._as_json)

    def running(self, status: dict[str, Any], control: str) -> None:
        """The node is up; it may not have joined yet."""
        if self._as_json:
            self._event("running", control=control, home=str(self._home), **status)
            return
        click.echo(f"Node {status['peer_id']} is running in {self._home}")
        click.echo(f"It listens on {', '.join(status['addresses'])} (UDP).\n")
        if status["reachable"] is not False and status["friend_addresses"]:
            self._invite(status["friend_addresses"])
        click.echo("Share a folder with:")
        click.echo(f"    modswarm share FOLDER{self._home_option()}")
        click.echo("Ctrl-C ends the node.\n")

    def _invite(self, addresses: list[str]) -> None:
        click.echo("Your friends join through it with:")
        for address in addresses:
            click.echo(f"    modswarm run --bootstrap {shlex.quote(address)}")
        hosts = [address.rpartition("/")[0].rpartition(":")[0].strip("[]") for address in addresses]
        if not any(ip_address(host).is_global or is_loopback(host) for host in hosts):
            click.echo("From outside of your network they need its public address in that place,")
            click.echo("and your router to forward the UDP port.")

    def joined(self, status: dict[str, Any]) -> None:
        """The node has joined the overlay."""
        if self._as_json:
            self._event("joined", **status)
            return
        click.echo(f"Joined the overlay: {output.counted(status['contacts'], 'contact')}.")

    def stopped(self) -> None:
        """Everything is closed and saved."""
        if self._as_json:
            self._event("stopped")
        else:
            click.echo("Stopped.")

    def _event(self, event: str, **facts: Any) -> None:
        output.show_json({"event": event, **facts})

    def _home_option(self) -> str:
        if self._home == options.default_home():
            return ""
        return f" --home {shlex.quote(str(self._home))}"


def _log_to_stderr(verbose: int) -> None:
    """Warnings; with -v what this node does; with -vv also what the libraries below it do."""
    level = logging.DEBUG if verbose > 1 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if verbose == 1:
        logging.getLogger("node").setLevel(logging.INFO)


def _open(home: Path, out: RunOutput, **overrides: Any) -> "Node":
    # These cost half a second, which no other command should pay.
    from node.config import load
    from node.environment import Environment
    from node.runtime import Node

    config = load(home / "config.toml").with_overrides(**overrides)
    if not (home / "identity.key").exists():
        out.say("Making an identity for this node; this takes some seconds, once.")
    return Node.open(home, config, Environment(), out.say)


async def _serve(node: "Node", ending: "Ending", out: RunOutput, until_stdin_closes: bool) -> int:
    from node.faces.api.forms import to_json
    from node.faces.api.server import ControlServer
    from node.tasks import TaskOwner

    ending.attach()
    if until_stdin_closes:
        ending.watch_stdin()
    await node.start()
    server = ControlServer(node, version=metadata.version("modswarm"), on_stop=ending.ask)
    tasks = TaskOwner("run")
    try:
        await server.start()
        out.running(to_json(node.status()), server.address)
        tasks.start(_welcome(node, out), name="welcome")
        await ending.asked.wait()
    finally:
        await tasks.close()
        status = await _end(node, server, out)
    return status


async def _welcome(node: "Node", out: RunOutput) -> None:
    from node.faces.api.forms import to_json

    if not node.config.bootstrap and not node.home.saved_contacts():
        out.say("This node has no contacts yet; it waits for other nodes to join through it.")
    await node.joined.wait()
    out.joined(to_json(node.status()))


async def _end(node: "Node", server: "ControlServer", out: RunOutput) -> int:
    try:
        async with asyncio.timeout(_STOP_S):
            await server.close()
            await node.stop()
    except TimeoutError:
        out.say("The node did not end in order within its time; its home is safe.")
        return exits.FAILURE
    out.stopped()
    return exits.OK
