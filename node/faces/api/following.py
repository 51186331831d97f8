"""The verbs of the control API about versions: followed, listed, and of this node's own mods."""

from node.answers.follows import FollowChange, FollowList, FollowView, VersionList
from node.answers.lineages import ExportedLineage, LineageList, LineageView
from node.content.download.bounds import SizeBound
from node.content.progress import ReportProgress
from node.faces.api.errors import BadRequest
from node.faces.api.handlers import ApiCall, Service, absolute_path
from protocol import limits
from protocol.identity import base32_bytes
from protocol.texts.links import followed_link_in, lineage_link_in

_KEY_BYTES, _KEY_CHARS = 32, 52


async def follow(service: Service, call: ApiCall, progress: ReportProgress) -> FollowView:
    """Fetch a mod's newest version into the folder `to`, and keep that current from now on."""
    most = min(call.body.get("max_bytes", 0), limits.MOD_BYTES)  # no mod is larger
    if most < 0:
        raise BadRequest("max_bytes is negative")
    agreed = call.body.get("yes", False)
    bound = SizeBound(most or (limits.MOD_BYTES if agreed else limits.GET_BYTES), agreed=agreed)
    return await service.node.following.follow(
        followed_link_in(call.body["link"]),
        absolute_path(call.body["to"]),
        refuses=call.body.get("refuse_changed", False),
        max_bytes=most,
        bound=bound,
        progress=progress,
    )


async def follows(service: Service, call: ApiCall) -> FollowList:
    """All that is followed."""
    return FollowList(service.node.following.views())


async def unfollow(service: Service, call: ApiCall) -> FollowView:
    """Keep a folder current no more; its files stay."""
    return await service.node.following.unfollow(_key(call))


async def agree(service: Service, call: ApiCall) -> FollowView:
    """Say yes to a version that is larger than may come unasked."""
    return await service.node.following.agree(_key(call))


async def resume_following(service: Service, call: ApiCall) -> FollowView:
    """Follow the newest version again, after going back."""
    return await service.node.following.resume(_key(call))


async def back(service: Service, call: ApiCall, progress: ReportProgress) -> FollowChange:
    """Bring a folder back to the version before, where it stays."""
    return await service.node.following.back(_key(call))


async def versions(service: Service, call: ApiCall, progress: ReportProgress) -> VersionList:
    """The newest versions of a mod."""
    return await service.node.following.versions(lineage_link_in(call.body["link"]))


async def lineages(service: Service, call: ApiCall) -> LineageList:
    """The mods that this node shares, through all their versions."""
    return LineageList(await service.node.sharing.versions.views())


async def keep(service: Service, call: ApiCall) -> LineageView:
    """Keep only the last versions of a mod that this node shares; 0 keeps all."""
    count = call.body["versions"]
    if not 0 <= count <= limits.LINEAGE_VERSION_MAX:
        raise BadRequest(f"not a number of versions: {count}")
    return await service.node.sharing.keep_versions(call.body["name"], count)


async def export_lineage(service: Service, call: ApiCall) -> ExportedLineage:
    """What another machine needs to go on with a mod: its holder can publish its versions."""
    return await service.node.sharing.versions.export(call.body["name"])


async def import_lineage(service: Service, call: ApiCall) -> LineageView:
    """Go on with a mod that another machine has exported."""
    return await service.node.sharing.versions.take_over(call.body["lineage"])


def _key(call: ApiCall) -> bytes:
    text = call.path["lineage"]
    try:
        return base32_bytes(text, _KEY_BYTES)
    except ValueError:
        raise BadRequest(
            f"not a lineage, which has {_KEY_CHARS} of a-z and 2-7: {text[:80]!r}"
        ) from None
