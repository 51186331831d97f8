"""From a lineage's record to its versions, each of which names the one before."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.content.download.patience import LookUpTime
from node.content.opened_mods import OpenedMod
from node.content.origins.origins import NamedBy, NamedOrigin
from node.overlay.lineages.heard import HeardLineages
from node.overlay.lineages.reader import LineageReader
from node.streams.hinted import HintedGateways
from protocol import limits
from protocol.content.lineage.history import body_of, check_named
from protocol.content.link import LineageLink, ModLink
from protocol.content.manifests.contents import VersionKeys
from protocol.content.origins.urls import recorded_origins
from protocol.errors import (
    BadContent,
    BadLink,
    ModswarmError,
    NetworkError,
    NoSources,
    NotFound,
    WrongKey,
)
from protocol.records import Record


class Look(Protocol):
    """Where manifests come from."""

    async def __call__(
        self,
        link: ModLink,
        origins: Sequence[NamedOrigin] = (),
        *,
        look_up: LookUpTime | None = None,
    ) -> OpenedMod:
        """The manifest and the contents of a mod, from the vault, from peers or from these origins.

        Raises as `get`.
        """


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a lineage."""

    link: ModLink
    opened: OpenedMod = field(repr=False)
    origins: tuple[NamedOrigin, ...] = ()
    """Those that the lineage's link and record name."""

    @property
    def number(self) -> int:
        """Counted from 1."""
        assert self.opened.contents is not None
        return self.opened.contents.version


@dataclass(frozen=True, slots=True)
class FoundVersions:
    """The newest versions of a lineage, the newest first; `failure`: why there are no more."""

    versions: list[Version]
    failure: ModswarmError | None = None


class VersionChain:
    """Finds the newest version of a lineage, and those before it."""

    def __init__(
        self,
        reader: LineageReader,
        heard: HeardLineages,
        look: Look,
        check_joined: Callable[[], Awaitable[None]],
        hinted: HintedGateways,
    ) -> None:
        """`check_joined` waits for the overlay, and raises Unreachable where it is not joined."""
        self._hinted = hinted
        self._check_joined = check_joined
        self._reader = reader
        self._heard = heard
        self._look = look

    async def newest_record(self, link: LineageLink) -> Record:
        """The record that is followed; raises NotFound, and NetworkError if none is known."""
        try:
            with self._hinted.of(link.hints):
                await self._check_joined()  # this node may have just started
                await self._reader.read(link.lineage_key)
        except NetworkError:
            if self._heard.newest(link.lineage_key) is None:
                raise
        newest = self._heard.newest(link.lineage_key)
        if newest is None:
            raise NotFound(
                "no node has heard of versions of this mod: its record has expired, or the nodes"
                " that had it are gone; its publisher stores it again with `modswarm share`"
            )
        return newest

    async def open_named(
        self, link: LineageLink, record: Record, look_up: LookUpTime | None = None
    ) -> Version:
        """The version that a record names, which is looked up not before `look_up`.

        Raises WrongKey if it lies about that, BadLink where the link's key does not open it, and
        as `get`.
        """
        if link.reading_key is None:
            raise BadLink(
                "the link is cut: it lacks the key that opens the mod, which stands behind #"
            )
        body = body_of(record)
        try:
            keys = VersionKeys(body.mod_id, body.content_key(link.reading_key))
        except BadContent:
            raise BadLink("the link's key does not open this mod's newest version") from None
        version = await self.open_keys(link, keys, look_up)
        check_named(record, version.opened.manifest.lineage_key, version.number)
        return version

    def origins(self, link: LineageLink) -> tuple[NamedOrigin, ...]:
        """The origins that a lineage's link and its newest record name."""
        newest = self._heard.newest(link.lineage_key)
        named = [*link.origins, *(body_of(newest).origins if newest is not None else ())]
        return tuple(
            NamedOrigin(url, NamedBy.LINEAGE, link.lineage_key) for url in recorded_origins(named)
        )

    async def open_keys(
        self, link: LineageLink, keys: VersionKeys, look_up: LookUpTime | None = None
    ) -> Version:
        """A version by its keys; raises as `get`, WrongKey for a patch."""
        found, origins = ModLink(keys.mod_id, keys.content_key, link.hints), self.origins(link)
        opened = await self._look(found, origins, look_up=look_up)
        if opened.contents is None or opened.contents.patch_of is not None:
            raise WrongKey("a lineage record that names a patch")
        return Version(found, opened, origins)

    async def before(self, link: LineageLink, version: Version) -> Version | None:
        """The version before one; None if it is the first. Raises as `get`, WrongKey."""
        assert version.opened.contents is not None
        previous = version.opened.contents.previous
        if previous is None:
            return None
        found = await self.open_keys(link, previous)
        if found.opened.manifest.lineage_key != link.lineage_key or found.number >= version.number:
            raise WrongKey("a version that names one before it which is none of its lineage")
        return found

    async def older(self, link: LineageLink, version: Version) -> Version | None:
        """`before`, for a person who asked for another version: an error says which one lacks."""
        try:
            return await self.before(link, version)
        except (NoSources, NotFound) as error:
            text = f"the version before {version.number} is not to be had: {error}"
            told = type(error)(text, cause=error.cause)
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
            raise told from None

    async def leads_to(self, link: LineageLink, version: Version, mod_id: bytes) -> bool:
        """Whether a mod is a version, or one of the VERSIONS_SHOWN before it that are to be had."""
        for _ in range(limits.VERSIONS_SHOWN):
            assert version.opened.contents is not None
            previous = version.opened.contents.previous
            if mod_id in (version.link.mod_id, previous and previous.mod_id):
                return True
            try:
                older = await self.before(link, version)
            except ModswarmError:
                return False
            if older is None:
                return False
            version = older
        return False

    async def goes_on(self, link: LineageLink, newer: Record, older: Record) -> bool:
        """Whether the version that a record names is that of another one, or comes after it.

        What an older version is the one after it says, so that one need not be to be had. Raises
        as `open_named` and `before`, NotFound where it is too far back.
        """
        wanted = body_of(older)
        if body_of(newer).version <= wanted.version:
            return body_of(newer).mod_id == wanted.mod_id
        version: Version | None = await self.open_named(link, newer)
        for _ in range(limits.VERSIONS_WALKED):
            assert version is not None
            assert version.opened.contents is not None
            previous = version.opened.contents.previous
            if previous is None or previous.mod_id == wanted.mod_id:
                return previous is not None
            if version.number <= wanted.version + 1:
                return False
            version = await self.before(link, version)
        raise NotFound(f"a version that is more than {limits.VERSIONS_WALKED} versions back")

    async def find(self, link: LineageLink) -> Version:
        """The version that a link means; raises as `open_named` and `before`, NotFound."""
        version = await self.open_named(link, await self.newest_record(link))
        wanted = link.version
        for _ in range(limits.VERSIONS_WALKED):
            if wanted is None or version.number == wanted:
                return version
            older = await self.older(link, version) if version.number > wanted else None
            if older is None:
                raise NotFound(f"this mod has no version {wanted}; {version.number} is next to it")
            version = older
        raise NotFound(f"version {wanted} is more than {limits.VERSIONS_WALKED} versions back")

    async def every(self, link: LineageLink, most: int) -> FoundVersions:
        """The newest versions, down to one whose predecessor lies or is not to be had.

        Raises as `open_named` for the newest one.
        """
        versions = [await self.open_named(link, await self.newest_record(link))]
        while len(versions) < most:
            try:
                older = await self.before(link, versions[-1])
            except ModswarmError as error:
                return FoundVersions(versions, error)
            if older is None:
                break
            versions.append(older)
        return FoundVersions(versions)
