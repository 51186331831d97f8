"""run: the node itself, with its control API, until it is asked to end."""

import asyncio
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.faces.cli import exits, options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal.amounts import LimitRate, Size
from node.faces.cli.terminal.words import Word, shell_word
from node.faces.log import log_to_file
from node.home import LOG_FILE
from node.machine.descriptors import allow_many, check_enough, tell_exhaustion
from node.machine.folders import known_default_home
from protocol.addresses import is_global, is_loopback
from protocol.errors import NodeSilent
from protocol.texts.amounts import counted

if TYPE_CHECKING:
    from node.faces.api.server import ControlServer
    from node.faces.cli.ending import Ending
    from node.runtime import Node

_STOP_S = 1.7
_LEAVE_S = 0.2
"""Together they keep the promise that a node ends within 2 s."""
_STOP_WAIT_S = 10.0
_CLOCK_PAUSE_S = 3.0
_STOP_LOOK_S = 0.05


@click.command()
@options.home
@click.option(
    "--listen",
    type=Word("HOST:PORT, such as 0.0.0.0:4001"),
    multiple=True,
    metavar="HOST:PORT",
    help="Where to take UDP, one for each of IPv4 and IPv6; port 0 is any. Default: port 4001 on "
    "all addresses, or loopback if every bootstrap is there.",
)
@click.option(
    "--bootstrap",
    type=Word("HOST:PORT/PEER, as `modswarm run` or `modswarm id` shows it at another node"),
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
    "--upnp",
    type=click.Choice(["on", "off"]),
    help="Whether to ask the router to forward the port. Default: on.",
)
@click.option(
    "--port-search",
    type=click.Choice(["on", "off"]),
    help="Whether to take part in searches of ports by many probes. Default: on.",
)
@click.option(
    "--hide-address",
    is_flag=True,
    help="Link through relays only, so that the peers of links do not learn the address.",
)
@click.option(
    "--limit-up",
    type=LimitRate(),
    metavar="RATE",
    help="How fast mods may go to all peers together, in bytes a second, such as 500k or 2M; off "
    "is the default. `modswarm limits` changes it while the node runs.",
)
@click.option("--limit-down", type=LimitRate(), metavar="RATE", help="The same from all peers.")
@click.option(
    "--limit-up-per-peer", type=LimitRate(), metavar="RATE", help="The same to each peer."
)
@click.option(
    "--limit-down-per-peer", type=LimitRate(), metavar="RATE", help="The same from each peer."
)
@click.option(
    "--vault-size",
    type=Size(),
    metavar="SIZE",
    help="What the vault keeps of mods that are not pinned, followed or in use, such as 5GB."
    " Default: 20 GiB, or a tenth of the disk if that is less.",
)
@click.option(
    "--cache-size",
    type=Size(),
    metavar="SIZE",
    help="Keep so much of popular mods that few others have, to serve them: encrypted, this node"
    " cannot read them. Default: none.",
)
@click.option(
    "--serve-http",
    type=Word("HOST:PORT, such as 0.0.0.0:8080"),
    metavar="HOST:PORT",
    help="Serve complete mods over HTTP too, sealed, for clients that cannot speak WebRTC.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each event.")
@options.verbosity
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
def run(
    home: Path,
    listen: tuple[str, ...],
    bootstrap: tuple[str, ...],
    unreachable: bool,
    relay: str | None,
    upnp: str | None,
    port_search: str | None,
    hide_address: bool,
    limit_up: str | None,
    limit_down: str | None,
    limit_up_per_peer: str | None,
    limit_down_per_peer: str | None,
    vault_size: int | None,
    cache_size: int | None,
    serve_http: str | None,
    as_json: bool,
    until_stdin_closes: bool,
) -> int:
    """Run a node until Ctrl-C.

    Settings also come from `config.toml` in the home; options given here overrule it. A second
    Ctrl-C ends the node at once, without an orderly shutdown.
    """
    from node.faces.cli.ending import Ending

    ending = Ending()
    ending.watch_signals()
    allow_many()
    check_enough()
    out = RunOutput(home, as_json)
    node = _open(
        home,
        out,
        listen=listen,
        bootstrap=bootstrap,
        unreachable=unreachable,
        relay=relay,
        upnp=upnp,
        port_search=port_search,
        hide_address=hide_address,
        limit_up=limit_up,
        limit_down=limit_down,
        limit_up_per_peer=limit_up_per_peer,
        limit_down_per_peer=limit_down_per_peer,
        vault_bytes=vault_size,
        cache_bytes=cache_size,
        serve_http=serve_http,
    )
    return asyncio.run(_serve(node, ending, out, until_stdin_closes))


@click.command()
@options.asking
def stop(home: Path, as_json: bool) -> None:
    """End the running node in order, and wait until it has ended."""
    client = ControlClient(home)
    told = client.post("/v1/stop", {})
    ends_at = time.monotonic() + _STOP_WAIT_S
    while client.is_running():
        if time.monotonic() > ends_at:
            raise NodeSilent(f"the node has not ended within {_STOP_WAIT_S:.0f} s")
        time.sleep(_STOP_LOOK_S)
    if as_json:
        output.show_json(told)
        return
    click.echo("Stopped.")


def _listening(addresses: list[str], *, by_tcp: bool) -> str:
    if not addresses:
        return "It listens nowhere, as this computer has no network address."
    how = "UDP, and TCP for nodes without UDP" if by_tcp else "UDP"
    return f"It listens on {', '.join(addresses)} ({how})."


def _host(friend_address: str) -> str:
    return friend_address.rpartition("/")[0].rpartition(":")[0].strip("[]")


class RunOutput:
    """The output of a running node: sentences for people, or one JSON object per event."""

    def __init__(self, home: Path, as_json: bool) -> None:
        self._home = home
        self._as_json = as_json

    def say(self, sentence: str) -> None:
        """Show a sentence."""
        click.echo(output.printable(sentence), err=self._as_json)

    def running(self, status: dict[str, Any], control: str, *, asks_router: bool) -> None:
        """The node is up; it may not have joined yet, and the router has not answered."""
        if self._as_json:
            self._event("running", control=control, home=str(self._home), **status)
            return
        click.echo(f"Node {status['peer_id']} is running in {output.printable(self._home)}")
        by_tcp = bool(status["streams"]["listening"])
        click.echo(f"{_listening(status['addresses'], by_tcp=by_tcp)}\n")
        if status["reachable"] is not False and status["bootstrap_addresses"]:
            self._invite(status["bootstrap_addresses"], asks_router=asks_router)
        click.echo("Share a folder with:")
        click.echo(f"    modswarm share FOLDER{self._home_option()}")
        click.echo(f"Ctrl-C ends the node; its log is {LOG_FILE} in that folder.\n")

    def _invite(self, addresses: list[str], *, asks_router: bool) -> None:
        local = [address for address in addresses if is_loopback(_host(address))]
        if local:
            click.echo("Other nodes on this computer join through it with:")
            self._show_bootstraps(local)
        others = [address for address in addresses if address not in local]
        if not others:
            return
        click.echo("Your friends join through it with:")
        self._show_bootstraps(others)
        if not any(is_global(_host(address)) for address in others):
            click.echo("From outside of your network they need its public address in that place,")
            click.echo("and your router to forward the UDP port.")
            if asks_router:
                click.echo("The node asks the router for that, and says so here if it does.")

    def forwarded(self, status: dict[str, Any], address: str) -> None:
        """The router forwards an outside address to the node."""
        if self._as_json:
            self._event("forwarded", address=address, **status)
            return
        click.echo(f"Your router forwards {address} to this node. Friends join from anywhere with:")
        self._show_bootstraps([f"{address}/{status['peer_id']}"])

    def _show_bootstraps(self, addresses: list[str]) -> None:
        for address in addresses:
            click.echo(f"    modswarm run --bootstrap {shell_word(address)}")

    def joined(self, status: dict[str, Any]) -> None:
        """The node has joined the overlay."""
        if self._as_json:
            self._event("joined", **status)
            return
        if status["contacts"]:
            click.echo(f"Joined the overlay: {counted(status['contacts'], 'contact')}.")
        else:
            click.echo("Another node has joined through this one.")

    def clock(self, sentence: str) -> None:
        """What contacts say of the clock; nothing: that it is right again."""
        if self._as_json:
            self._event("clock", sentence=sentence)
        else:
            self.say(sentence or "By the word of its contacts this computer's clock is right now.")

    def stopped(self) -> None:
        """Everything is closed and saved."""
        if self._as_json:
            self._event("stopped")
        else:
            click.echo("Stopped.")

    def _event(self, event: str, **facts: Any) -> None:
        output.show_json({"event": event, **facts})

    def _home_option(self) -> str:
        if self._home == known_default_home():
            return ""
        return f" --home {shell_word(str(self._home))}"


def _open(home: Path, out: RunOutput, **overrides: Any) -> "Node":
    # These cost half a second, which no other command should pay.
    from node.config import load
    from node.environment import Environment
    from node.home import check_folder
    from node.runtime import Node

    check_folder(home)
    config = load(home / "config.toml").with_overrides(**overrides)
    node = Node.open(home, config, Environment(), out.say)
    log_to_file(home / LOG_FILE)
    return node


async def _serve(node: "Node", ending: "Ending", out: RunOutput, until_stdin_closes: bool) -> int:
    from node.faces.api.forms import to_json
    from node.faces.api.server import ControlServer
    from node.faces.cli.ending import leave_within
    from node.tasks import TaskOwner

    ending.attach()
    asyncio.get_running_loop().set_exception_handler(tell_exhaustion)
    if until_stdin_closes:
        ending.watch_stdin()
    await node.start()
    server = ControlServer(node, version=metadata.version("modswarm"), on_stop=ending.ask)
    tasks = TaskOwner("run")
    try:
        await server.start()
        out.running(to_json(node.status()), server.address, asks_router=node.asks_router)
        if node.sharing.web.url is not None:
            out.say(f"Complete mods are served over HTTP at {node.sharing.web.url}")
        tasks.start(_welcome(node, out), name="welcome")
        tasks.start(_tell_forwarding(node, out), name="tell what the router forwards")
        tasks.start(_tell_clock(node, out), name="tell whether the clock is off")
        await ending.asked.wait()
    finally:
        await tasks.close()
        status = await _end(node, server, out)
        # Now, as the loop's own end waits for threads: for a name lookup that hangs, for example.
        leave_within(_LEAVE_S, status)
    return status


async def _welcome(node: "Node", out: RunOutput) -> None:
    from node.faces.api.forms import to_json

    if not node.config.bootstrap and not node.home.saved_contacts():
        out.say("This node has no contacts yet; it waits for other nodes to join through it.")
    await node.joined.wait()
    out.joined(to_json(node.status()))


async def _tell_forwarding(node: "Node", out: RunOutput) -> None:
    """Once, where friends can join by what the router says."""
    from node.faces.api.forms import to_json

    own = node.membership.own_network
    await own.until(lambda: own.forwarded is not None)
    out.forwarded(to_json(node.status()), str(own.forwarded))


async def _tell_clock(node: "Node", out: RunOutput) -> None:
    """Whenever contacts find the clock off, or right again; after a pause, as more may say it."""
    own, told = node.membership.own_clock, ""
    while True:
        changes = own.changes
        sentence = node.clock_sentence
        if bool(sentence) != bool(told) or own.view().corrected:
            if sentence != told:
                out.clock(sentence)
            told = sentence
        await own.until_changes(changes)
        await asyncio.sleep(_CLOCK_PAUSE_S)


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
