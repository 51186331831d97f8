"""limits: how fast content may go, shown and changed while the node runs."""

from pathlib import Path
from typing import Any

import click

from node.faces.cli import options, output
from node.faces.cli.client import ControlClient
from node.faces.cli.terminal.amounts import LimitRate
from protocol.texts.rates import Rate, rate_text

_SET_BY = {
    "config": "config.toml or run",
    "schedule": "the hour",
    "command": "command",
}


@click.command()
@click.option("--up", type=LimitRate(config=True), metavar="RATE", help="To all peers together.")
@click.option("--down", type=LimitRate(config=True), metavar="RATE", help="From all of them.")
@click.option("--up-per-peer", type=LimitRate(config=True), metavar="RATE", help="To each peer.")
@click.option("--down-per-peer", type=LimitRate(config=True), metavar="RATE", help="From each.")
@options.asking
def limits(
    up: str | None,
    down: str | None,
    up_per_peer: str | None,
    down_per_peer: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """Show how fast mods may go, or change it until the node ends.

    A RATE is bytes a second, such as 500k or 2M, which is 2 MB/s or 16 Mbit/s; off for no limit;
    config for what config.toml says, with its schedule.
    """
    given = {
        "up": up,
        "down": down,
        "up_per_peer": up_per_peer,
        "down_per_peer": down_per_peer,
    }
    body = {name: text for name, text in given.items() if text is not None}
    client = ControlClient(home)
    told = client.post("/v1/limits", body) if body else client.get("/v1/limits")
    if as_json:
        output.show_json(told)
        return
    rows = [_row("to peers", told["up"]), _row("from peers", told["down"])]
    columns = ("MODS", "ALL", "SET BY", "EACH PEER", "SET BY", "SCHEDULE")
    output.show_table(columns, rows, empty="")


def _row(direction: str, limit: dict[str, Any]) -> tuple[str, ...]:
    return (
        direction,
        rate_text(limit["all_peers"]),
        _set_by(limit["all_peers"], limit["set_by"]),
        rate_text(limit["each_peer"]),
        _set_by(limit["each_peer"], limit["each_set_by"]),
        limit["schedule"] or "-",
    )


def _set_by(rate: Rate, told: str) -> str:
    """What set a limit; a dash where nothing is said of one."""
    return "-" if rate is None and told == "config" else _SET_BY.get(told, told)
