"""Whether the HTTP servers that a link names may be asked: a person says so, once for each mod."""

import click

from node.faces.cli.client import ControlClient
from node.faces.cli.output import printable
from protocol.content.link import AnyLink, ModLink


def settle_origins(client: ControlClient, link: AnyLink, given: str | None, *, asks: bool) -> None:
    """Let the node know what a person says of a link's origins: `given`, "yes" or "no", or asked
    now if that was not answered before. Without an answer they are not asked.
    """
    if isinstance(link, ModLink) and not link.origins:
        return
    body = {"link": str(link)}
    told = client.post("/v1/origins", body | ({} if given is None else {"agreed": given == "yes"}))
    if not told["origins"] or told["agreed"] is False:
        return
    if told["hidden"]:
        click.echo(
            "This node hides its address, so no HTTP server that the link names is asked.", err=True
        )
        return
    if told["agreed"]:
        return
    if not asks:
        unasked = "The HTTP servers that the link names are not asked; --origins yes does that."
        click.echo(unasked, err=True)
        return
    click.echo("The link names HTTP servers that may have the mod, beside peers:", err=True)
    for origin in told["origins"]:
        click.echo(f"    {printable(origin)}", err=True)
    click.echo(
        "They would learn the address of this computer, and that it fetches this mod.", err=True
    )
    agreed = click.confirm("Ask them too?", default=False, err=True)
    client.post("/v1/origins", body | {"agreed": agreed})
