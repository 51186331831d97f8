"""The verbs of the control API about how content comes and goes."""

from dataclasses import replace

from node.answers.downloads import DownloadList, DownloadView, Priority
from node.answers.mods import ExportResult, GetResult, OriginsView
from node.answers.rates import LimitsView
from node.content.download.bounds import SizeBound
from node.content.progress import ReportProgress
from node.content.queue.entry import DownloadRequest
from node.faces.api.errors import BadRequest
from node.faces.api.handlers import ApiCall, Service, absolute_path, given_mod_id, meant
from protocol import limits as bounds
from protocol.content.link import LineageLink
from protocol.texts.links import any_link_in

_NUMBER_CHARS = 9


async def limits(service: Service, call: ApiCall) -> LimitsView:
    """How fast content may go."""
    return service.node.transfers.view()


async def limit(service: Service, call: ApiCall) -> LimitsView:
    """Change how fast content may go, until the node ends."""
    transfers = service.node.transfers
    transfers.command(**call.body)
    return transfers.view()


async def origins(service: Service, call: ApiCall) -> OriginsView:
    """The origins of a link, and whether they may be asked; with `agreed` a person says so.

    What is said of a lineage's link is for all versions of the mod.
    """
    link, origins = any_link_in(call.body["link"]), service.node.sharing.origins
    if isinstance(link, LineageLink):
        subject, urls = link.lineage_key, await service.node.following.origins(link)
    else:
        subject, urls = link.mod_id, link.origins
    if "agreed" in call.body and urls:
        origins.consent.remember(subject, urls, agreed=call.body["agreed"])
    return OriginsView(urls, origins.consent.answer(subject, urls), hidden=origins.hidden)


async def export(service: Service, call: ApiCall, progress: ReportProgress) -> ExportResult:
    """Write a mod as files that any HTTP server can host, into the folder `to`."""
    found = given_mod_id(call.body["mod_id"])
    exporter, folder = service.node.sharing.exporter, absolute_path(call.body["to"])
    done = await exporter.export(found, folder, progress)
    return ExportResult(found, str(done.manifest), str(done.chunks), done.size)


async def download(service: Service, call: ApiCall, progress: ReportProgress) -> GetResult:
    """Fetch a mod into the folder `to`, or into a folder of its own name below `into`."""
    return await service.node.downloads.watch(await _wanted(service, call), progress)


async def queue(service: Service, call: ApiCall) -> DownloadView:
    """Let the node fetch a mod in its turn, whatever becomes of this connection and of the node."""
    return service.node.downloads.add(await _wanted(service, call))


async def downloads(service: Service, call: ApiCall) -> DownloadList:
    """The downloads that go on, wait, rest or ended lately."""
    told = service.node.downloads.view()
    names = await _names(service)
    named = (replace(view, name=view.name or names.get(view.mod_id, "")) for view in told.downloads)
    return DownloadList(tuple(named), told.at_once)


async def pause(service: Service, call: ApiCall) -> DownloadView:
    """Let a download rest until it is resumed."""
    return await _named(service, await service.node.downloads.pause(_number(call)))


async def resume(service: Service, call: ApiCall) -> DownloadView:
    """Let a download go on that rests or failed; and change its priority."""
    view = service.node.downloads.resume(_number(call), _priority(call))
    return await _named(service, view)


async def cancel(service: Service, call: ApiCall) -> DownloadView:
    """End a download and forget it; what has arrived stays in the vault."""
    return await _named(service, await service.node.downloads.cancel(_number(call)))


async def _named(service: Service, view: DownloadView) -> DownloadView:
    """With the mod's name, once the vault knows it."""
    names = await _names(service)
    return replace(view, name=view.name or names.get(view.mod_id, ""))


async def _names(service: Service) -> dict[bytes, str]:
    return {mod.mod_id: mod.name for mod in await service.node.sharing.mods()}


def _number(call: ApiCall) -> int:
    text = call.path["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_CHARS):
        raise BadRequest(f"not the number of a download: {text[:80]!r}")
    return int(text)


async def _wanted(service: Service, call: ApiCall) -> DownloadRequest:
    link = await meant(service, call.body["link"])
    if ("to" in call.body) == ("into" in call.body):
        raise BadRequest("a download takes one of 'to' and 'into'")
    place = "to" if "to" in call.body else "into"
    path = absolute_path(call.body[place])
    return DownloadRequest(
        link,
        target=path if place == "to" else None,
        into=path if place == "into" else None,
        bound=_bound(call),
        wait_s=_wait_s(call),
        priority=_priority(call),
    )


def _priority(call: ApiCall) -> Priority | None:
    given = call.body.get("priority")
    return None if given is None else Priority(given)


def _wait_s(call: ApiCall) -> float:
    wait_s = float(call.body.get("wait_s", bounds.GET_WAIT_S))
    if not 0 <= wait_s <= bounds.GET_WAIT_MAX_S:
        raise BadRequest(f"wait_s must be from 0 to {bounds.GET_WAIT_MAX_S:g}")
    return wait_s


def _bound(call: ApiCall) -> SizeBound:
    agreed = call.body.get("yes", False)
    said = agreed or "max_bytes" in call.body
    most = call.body.get("max_bytes", bounds.MOD_BYTES if agreed else bounds.GET_BYTES)
    if most < 0:
        raise BadRequest("max_bytes is negative")
    return SizeBound(most, agreed=said)
