"""Mods as people know them: shared, fetched, listed, removed, and who else has them."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from node.content.assemble.assembler import Assembler
from node.content.assemble.tree import checked_target
from node.content.download.downloader import Downloader
from node.content.progress import ReportProgress
from node.content.publish.publisher import Publisher
from node.content.serve.exchange import Exchanges
from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from node.holder_search import HolderSearch
from node.links.link import Link
from node.links.pool.pool import LinkPool
from node.overlay.membership import Membership
from node.overlay.records.availability_lookup import AvailabilityLookup
from protocol import limits, records
from protocol.addresses import Address
from protocol.content.file_paths import check_path
from protocol.content.link import ModLink
from protocol.errors import BadLink, UnsafePath
from protocol.identity import PeerId, base32_text, peer_id_text


class Sharing:
    """What this node does with mods. `start` before use, `close` before the links."""

    def __init__(self, vault: Vault, membership: Membership, pool: LinkPool) -> None:
        self._vault = vault
        self._overlay = membership.server
        self._presence = membership.presence
        self._environment = membership.environment
        self._joined = membership.joined
        self._pool = pool
        self._exchanges = Exchanges(vault)
        self._publisher = Publisher(vault, self._environment)
        self._downloader = Downloader(vault, self._exchanges, self._environment)
        self._assembler = Assembler(vault)
        self._filters = AvailabilityLookup(membership.server)
        self._loop = asyncio.get_running_loop()

    @property
    def refusals(self) -> Counter[str]:
        """What peers got wrong on links, by the error's name."""
        return self._exchanges.refusals

    async def start(self) -> None:
        """Serve the links to come, and announce what is in the vault."""
        self._pool.on_link = self._serve
        await self._vault.collect()
        await self._announce_all()

    async def close(self) -> None:
        """End every exchange; downloads fail with LinkClosed, what they fetched stays."""
        await self._exchanges.close()

    def _serve(self, link: Link) -> None:
        self._exchanges.attach(link)

    async def _announce_all(self) -> None:
        """Let the DHT know what the vault holds now."""
        mods = await self._vault.mods()
        self._presence.serve([(mod.mod_id, await self._is_complete(mod)) for mod in mods])

    async def _is_complete(self, mod: StoredMod) -> bool:
        return not await self._vault.missing(mod.mod_id)

    # Sharing ------------------------------------------------------------------------------

    async def share(self, path: Path, name: str | None, progress: ReportProgress) -> dict[str, Any]:
        """Publish a folder or a file, and say where its provider record is stored."""
        shared = await self._publisher.publish(path, name, progress)
        await self._announce_all()
        confirmed, asked = await self._presence.announce(shared.mod_id)
        return {
            "mod_id": base32_text(shared.mod_id),
            "link": str(shared.link),
            "name": shared.name,
            "files": shared.files,
            "bytes": shared.bytes,
            "new_bytes": shared.new_bytes,
            "published": {"confirmed": confirmed, "asked": asked},
        }

    async def remove(self, mod_id: bytes) -> bool:
        """Stop sharing; nobody gets it from here any more, and its chunks are freed."""
        removed = await self._vault.remove_mod(mod_id)
        await self._announce_all()
        return removed

    async def mods(self) -> list[dict[str, Any]]:
        """The mods in the vault, in the order in which they came."""
        return [
            {
                "mod_id": base32_text(mod.mod_id),
                "name": mod.name,
                "files": mod.files,
                "bytes": mod.bytes,
                "link": str(mod.link) if mod.content_key else None,
                "shared": mod.published,
                "complete": await self._is_complete(mod),
            }
            for mod in await self._vault.mods()
        ]

    # Fetching -----------------------------------------------------------------------------

    async def get(
        self, link: ModLink, target: Path | None, *, into: Path | None, progress: ReportProgress
    ) -> dict[str, Any]:
        """Fetch, then write the files; see `Node.get`."""
        if link.content_key is None:
            raise BadLink("not a modswarm link: it lacks the key that opens the mod")
        if target is not None:
            # Whether it can be written there at all is said before anything is fetched.
            await self._loop.run_in_executor(None, checked_target, target)
        started = self._loop.time()
        await self._wait_until_joined()
        search = HolderSearch(self._overlay, self._pool)
        fetched = await self._downloader.download(link, search.links, progress)
        transferred = self._loop.time()
        assert fetched.contents is not None
        if target is None:
            target = (into or Path.cwd()) / _folder_name(fetched.contents.name, link.mod_id)
        written = await self._assembler.assemble(link.mod_id, target, progress)
        await self._announce_all()
        trail = search.trail
        return {
            "mod_id": base32_text(link.mod_id),
            "name": fetched.contents.name,
            "path": str(written.path),
            "files": written.files,
            "bytes": written.bytes,
            "bytes_fetched": fetched.bytes_fetched,
            "seconds": round(self._loop.time() - started, 3),
            "lookup_ms": round(trail.lookup_ms, 1),
            "connect_ms": round(trail.connect_ms, 1),
            "transfer_MBps": _rate(fetched.bytes_fetched, transferred - trail.linked_at),
            "record_hops": trail.record_hops,
            "signaled_via": [peer_id_text(peer) for peer in trail.signaled_via],
            "sources": [peer_id_text(peer) for peer in fetched.bytes_from],
        }

    async def _wait_until_joined(self) -> None:
        """A download asked for right after the start waits for the overlay, but not for ever."""
        try:
            async with asyncio.timeout(limits.JOIN_WAIT_S):
                await self._joined.wait()
        except TimeoutError:
            return

    # Who has it ---------------------------------------------------------------------------

    async def peers(self, has: ModLink | None) -> list[dict[str, Any]]:
        """The peers known to this node, and by their filters whether they have a mod."""
        known = self._known_peers()
        if has is not None:
            key = records.provider_key(has.mod_id)
            for record in (await self._overlay.read(key, records.PROVIDER)).records.values():
                known.setdefault(record.peer_id, _peer(record.peer_id, "provider", None))
            known.pop(self._overlay.identity.peer_id, None)
            answers = await self._filters.who_has(has.mod_id, known)
            for peer_id, answer in answers.items():
                known[peer_id]["has"] = answer
        return list(known.values())

    def _known_peers(self) -> dict[PeerId, dict[str, Any]]:
        now = self._loop.time()
        known: dict[PeerId, dict[str, Any]] = {}
        for link in self._pool.links():
            known[link.peer_id] = _peer(link.peer_id, "linked", link.remote_address)
        for entry in self._overlay.tables.entries():
            contact = entry.contact
            peer = known.setdefault(
                contact.peer_id, _peer(contact.peer_id, "contact", contact.address)
            )
            rtt_s = self._overlay.wire.round_trip_s(contact)
            peer["last_seen_s"] = round(now - entry.last_seen, 1)
            peer["rtt_ms"] = round(rtt_s * 1000, 1) if rtt_s else None
        for contact in self._overlay.registrar.registered():
            known.setdefault(contact.peer_id, _peer(contact.peer_id, "registered", contact.address))
        return known


def _folder_name(name: str, mod_id: bytes) -> str:
    """What to call the folder of a mod whose publisher may have named it anything."""
    try:
        check_path(name)
    except UnsafePath:
        return f"mod-{base32_text(mod_id)[:12]}"
    return name.replace("/", "_")


def _rate(fetched_bytes: int, seconds: float) -> float | None:
    """Megabytes a second, or None when nothing had to be fetched."""
    return round(fetched_bytes / seconds / 1e6, 2) if fetched_bytes else None


def _peer(peer_id: PeerId, kind: str, address: Address | None) -> dict[str, Any]:
    return {
        "peer_id": peer_id_text(peer_id),
        "kind": kind,
        "address": str(address) if address else None,
        "last_seen_s": None,
        "rtt_ms": None,
        "has": None,
    }
