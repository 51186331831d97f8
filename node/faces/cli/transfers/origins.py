"""Whether the HTTP servers that a link names may be asked: a person says so, once for each mod."""

import click

from node.faces.cli.client import ControlClient
from node.faces.cli.output import printable
from protocol.content.link import AnyLink


def settle_origins(client: ControlClient, link: AnyLink, given: str | None, *, asks: bool) -> None:
    """Let the node know what a person says of a link's origins: `given`, "yes" or "no", or asked
    now if that was not answered before. Without an answer they are not asked.
    """
    if not link.origins:
        return
    body = {"link": str(link)}
    if given is not None:
        client.post("/v1/origins", body | {"agreed": given == "yes"})
        return
    if client.post("/v1/origins", body)["agreed"] is not None:
        return
    if not asks:
        told = "The HTTP servers that the link names are not asked; --origins yes does that."
        click.echo(told, err=True)
        return
    click.echo("The link names HTTP servers that may have the mod, beside peers:", err=True)
    for origin in link.origins:
        click.echo(f"    {printable(origin)}", err=True)
    click.echo(
        "They would learn the address of this computer, and that it fetches this mod.", err=True
    )
    agreed = click.confirm("Ask them too?", default=False, err=True)
    client.post("/v1/origins", body | {"agreed": agreed})
