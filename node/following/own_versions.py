"""The records of the lineages that this node publishes: each names the newest version."""

import asyncio
import contextlib
import logging
from dataclasses import replace

from node.answers.lineages import ExportedLineage, LineageView
from node.content.publish.own_lineages import NewestVersion
from node.content.publish.publisher import PublishedMod
from node.content.vault.stored_mod import Lineage
from node.content.vault.tables.vault_tables import VaultTables
from node.content.vault.vault import Vault
from node.overlay.lineages.lineages import Lineages
from node.tasks import TaskOwner
from protocol.content.file_paths import quoted
from protocol.content.lineage.body import wrapped_content_key
from protocol.content.lineage.export import LineageExport, parse_export
from protocol.content.lineage.history import body_of, recalled_if_whole
from protocol.content.lineage.keys import LineageKeys
from protocol.content.link import LineageLink
from protocol.content.manifests.contents import VersionKeys
from protocol.content.origins.urls import recorded_origins
from protocol.errors import (
    BadContent,
    BadInput,
    ModswarmError,
    NameTaken,
    NetworkError,
    NotFound,
)
from protocol.records import Record

_log = logging.getLogger(__name__)


class OwnVersions:
    """`start` it before anything is shared, and `close` it."""

    def __init__(self, vault: Vault, lineages: Lineages) -> None:
        self._vault = vault
        self._lineages = lineages
        self._telling: dict[int, asyncio.Lock] = {}
        self._tasks = TaskOwner("own versions")

    @property
    def defects(self) -> list[BaseException]:
        """What its task raised unforeseen."""
        return self._tasks.defects

    async def start(self, joined: asyncio.Event) -> None:
        """Renew the records of this node's lineages from now on.

        Once this node has `joined`, it tells of versions that were shared without that: it was
        killed, or its disk was full.
        """
        for lineage in await self._vault.recall(lambda tables: tables.lineages.every()):
            if lineage.seed is not None and lineage.head is not None:
                await self._keep(lineage.number, lineage.keys)
                newest = self._lineages.heard.newest(lineage.keys.public_key)
                if newest is not None and body_of(newest).version < lineage.version:
                    self._claim(lineage.keys, lineage.head, lineage.version)
        self._tasks.start(self._tell_what_was_not(joined), name="tell of versions")

    async def close(self) -> None:
        """Tell of nothing more."""
        await self._tasks.close()

    async def _tell_what_was_not(self, joined: asyncio.Event) -> None:
        await joined.wait()
        for lineage in await self._vault.recall(lambda tables: tables.lineages.every()):
            if lineage.seed is None or lineage.head is None:
                continue
            newest = self._lineages.heard.newest(lineage.keys.public_key)
            if newest is not None and body_of(newest).version >= lineage.version:
                continue
            try:
                with contextlib.suppress(NetworkError):
                    await self._lineages.reader.read(lineage.keys.public_key)
                await self._tell(lineage.number, lineage.keys, lineage.head, lineage.version)
            except ModswarmError as error:
                _log.warning("version %d of %s: %s", lineage.version, lineage.name, error)

    async def _keep(self, number: int, keys: LineageKeys) -> None:
        kept = await self._vault.recall(lambda tables: tables.lineages.records(number))
        newest, vouched = (recalled_if_whole(raw) for raw in kept)

        async def save(newest: Record, vouched: Record) -> None:
            raw = newest.raw, vouched.raw
            await self._vault.record(lambda tables: tables.lineages.keep_records(number, *raw))

        self._lineages.publisher.keep(keys.identity, newest, save, vouched)

    def _claim(self, keys: LineageKeys, named: VersionKeys, version: int) -> None:
        wrapped = wrapped_content_key(named.content_key, keys.reading_key, named.mod_id)
        self._lineages.publisher.claim(
            keys.public_key, mod_id=named.mod_id, version=version, wrapped_key=wrapped
        )

    async def find_newest(self, lineage: Lineage) -> NewestVersion | None:
        """A FindNewest: what the DHT says, if it can be asked, or what was heard before."""
        if lineage.seed is None:
            return None
        keys = lineage.keys
        await self._keep(lineage.number, keys)
        with contextlib.suppress(NetworkError):
            await self._lineages.reader.read(keys.public_key)
        newest = self._lineages.heard.newest(keys.public_key)
        if newest is None:
            return None
        body = body_of(newest)
        try:
            content_key = body.content_key(keys.reading_key)
        except BadContent as error:
            _log.warning("the newest record of %s: %s", lineage.name, error)
            return None
        return NewestVersion(body.version, VersionKeys(body.mod_id, content_key))

    async def tell(
        self, shared: PublishedMod, origins: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        """Sign and store the record of a version, or store that which names it.

        `origins`: the HTTP servers that it names; those of the record before, if None. Returns
        them. Raises DiskError.
        """
        assert shared.link.content_key is not None
        keys = VersionKeys(shared.mod_id, shared.link.content_key)
        return await self._tell(shared.lineage, shared.keys, keys, shared.version, origins)

    async def _tell(
        self,
        number: int,
        keys: LineageKeys,
        named: VersionKeys,
        version: int,
        origins: tuple[str, ...] | None = None,
    ) -> tuple[str, ...]:
        """Where the newest record names it already, or a higher version, that is stored again.

        Two versions may have been shared at once, and no record may follow that of the higher one.
        """
        async with self._telling.setdefault(number, asyncio.Lock()):
            await self._keep(number, keys)
            newest = self._lineages.heard.newest(keys.public_key)
            body = None if newest is None else body_of(newest)
            if origins is None:
                origins = () if body is None else recorded_origins(body.origins)
            if body is not None:
                is_named = body.mod_id == named.mod_id and body.origins == origins
                if not is_named and body.version > version:
                    self._claim(keys, named, version)  # the higher one may not go on from it
                if is_named or body.version > version:
                    await self._lineages.storing.look(keys.public_key)
                    return origins
            await self._lineages.publisher.publish(
                keys.public_key,
                mod_id=named.mod_id,
                version=version,
                wrapped_key=wrapped_content_key(named.content_key, keys.reading_key, named.mod_id),
                origins=origins,
            )
            return origins

    # What a person asks -------------------------------------------------------------------

    async def views(self) -> tuple[LineageView, ...]:
        """All lineages of this node that have a version."""
        lineages = await self._vault.recall(lambda tables: tables.lineages.every())
        return tuple(self._view(one) for one in lineages if one.seed is not None and one.version)

    def _view(self, lineage: Lineage) -> LineageView:
        keys, heard = lineage.keys, self._lineages.heard
        newest = heard.newest(keys.public_key)
        origins = () if newest is None else recorded_origins(body_of(newest).origins)
        return LineageView(
            name=lineage.name,
            lineage=keys.public_key,
            link=LineageLink(keys.public_key, keys.reading_key, (), origins),
            path=lineage.path or "",
            version=lineage.version,
            kept=lineage.kept,
            expires=None if newest is None else newest.expires,
            forked=heard.is_forked(keys.public_key),
        )

    async def _named(self, name: str) -> Lineage:
        found = await self._vault.recall(lambda tables: tables.lineages.named(name))
        if found is None or found.seed is None:
            raise NotFound(f"no mod {quoted(name)} was shared from this home")
        return found

    async def keep(self, name: str, count: int) -> LineageView:
        """Let the vault keep only the last versions; 0: all. Raises NotFound, DiskError."""
        lineage = await self._named(name)
        await self._vault.record(lambda tables: tables.lineages.keep(lineage.number, count))
        return self._view(replace(lineage, kept=count))

    async def beyond_kept(self, lineage_key: bytes) -> list[bytes]:
        """The mod ids of versions of an own lineage that are not kept any more.

        What a person pinned stays.
        """
        for lineage in await self._vault.recall(lambda tables: tables.lineages.every()):
            if lineage.seed is not None and lineage.keys.public_key == lineage_key:
                return await self._beyond(lineage, lineage_key) if lineage.kept else []
        return []

    async def _beyond(self, lineage: Lineage, lineage_key: bytes) -> list[bytes]:
        oldest = lineage.version - lineage.kept + 1
        asked_for = {mod.mod_id for mod in await self._vault.kept() if mod.is_asked_for}
        return [
            mod.mod_id
            for mod in await self._vault.mods()
            if mod.is_version_of(lineage_key) and mod.version < oldest
            if mod.mod_id not in asked_for
        ]

    async def export(self, name: str) -> ExportedLineage:
        """The keys of a lineage as a text; raises NotFound."""
        lineage = await self._named(name)
        assert lineage.seed is not None
        newest = self._lineages.heard.newest(lineage.keys.public_key)
        exported = LineageExport(lineage.name, lineage.secret, lineage.seed, newest)
        return ExportedLineage(lineage.name, str(exported))

    async def take_over(self, text: str) -> LineageView:
        """Go on with a lineage that another machine exported.

        Raises BadInput for a text that is none, NameTaken where this home has a mod of its name.
        """
        given = parse_export(text)
        known = await self._vault.recall(lambda tables: tables.lineages.named(given.name))
        _check_same(known, given)
        head, version = None, 0
        if given.newest is not None:
            body = body_of(given.newest)
            try:
                head = VersionKeys(body.mod_id, body.content_key(given.keys.reading_key))
            except BadContent:
                raise BadInput("not an exported mod: its keys do not open its version") from None
            version = body.version
            self._lineages.heard.hear(given.newest)
        newest = self._lineages.heard.newest(given.keys.public_key)

        def add(tables: VaultTables) -> Lineage:
            known = tables.lineages.named(given.name)  # again, as a share may have begun one
            _check_same(known, given)
            number = known.number if known else tables.lineages.add(given.name, given.secret)
            tables.lineages.give_seed(number, given.seed)
            if given.newest is not None and head and (known is None or version > known.version):
                assert newest is not None
                # The newest is perhaps newer than the given one, and what was shared
                # here is perhaps not what either goes on from.
                own = next(filter(None, reversed(tables.lineages.records(number))), None)
                tables.lineages.keep_records(number, newest.raw, own or given.newest.raw)
                path = None if known is None else known.path
                tables.lineages.publish(number, path, version, head, None)
            found = tables.lineages.named(given.name)
            assert found is not None
            return found

        lineage = await self._vault.record(add)
        await self._keep(lineage.number, lineage.keys)
        return self._view(lineage)


def _check_same(known: Lineage | None, given: LineageExport) -> None:
    """Raise NameTaken where this home has another mod of the name of one that was exported."""
    if known is not None and known.seed != given.seed:
        raise NameTaken(f"a mod {quoted(given.name)} was shared from this home already")
