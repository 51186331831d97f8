"""One running node: builds the rooms, starts them, answers about them, and ends them in order."""

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.config import Config
from node.content.progress import ReportProgress, ignore_progress
from node.content.vault.vault import Vault
from node.counters import Counters
from node.diagnosis import Diagnosis
from node.environment import Environment
from node.home import Home
from node.links.link import Link
from node.links.pool.pool import LinkPool
from node.links.secure.certificate import load_or_create
from node.links.settings import LinkSettings
from node.overlay.membership import Membership
from node.overlay.settings import OverlaySettings
from node.sharing import Sharing
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.content.link import ModLink
from protocol.errors import BadAddress, DiskError
from protocol.identity import PeerId, peer_id_text
from protocol.overlay.bootstrap import Bootstrap

_log = logging.getLogger(__name__)


class Node:
    """A node in its home. `start`, use, `stop`; a stopped node is not started again.

    `say` takes sentences for the person who runs it.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        environment: Environment,
        say: Callable[[str], None],
        overlay: OverlaySettings | None = None,
    ) -> None:
        self.home = home
        self.config = config
        self.environment = environment
        self._overlay = replace(
            overlay or OverlaySettings(), unreachable=config.unreachable, paths=config.paths
        )
        self.identity = home.identity(environment.rng.randbytes, self._overlay.puzzle_bits)
        self.counters = Counters()
        self._say = say
        self._started_at = 0.0
        self._tasks = TaskOwner("node")

    @classmethod
    def open(
        cls,
        home: Path,
        config: Config,
        environment: Environment,
        say: Callable[[str], None],
        overlay: OverlaySettings | None = None,
    ) -> "Node":
        """Open a home and make its node; about 2 s the first time, for the identity.

        Only simulations give `overlay`. Raises HomeError, DiskError.
        """
        opened = Home.open(home)
        try:
            return cls(opened, config, environment, say, overlay)
        except BaseException:
            opened.close()
            raise

    @property
    def joined(self) -> asyncio.Event:
        """Set once the node has found its place in the overlay."""
        return self.membership.joined

    @property
    def defects(self) -> list[BaseException]:
        """What tasks raised that no code foresaw."""
        return self._tasks.defects + self.membership.tasks.defects

    # Life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind the sockets and start everything; joining goes on in the background.

        Raises BadAddress, HomeError, DiskError, InsecureRandomness; then nothing is left behind.
        """
        self._started_at = asyncio.get_running_loop().time()
        try:
            await self._open()
        except BaseException:
            self.home.close()
            raise
        self._pool = LinkPool(
            self.identity,
            self.environment,
            self._certificate,
            LinkSettings(data_path=self.config.data_path, ice_addresses=self._ice_addresses()),
            self.membership.caller.call,
            self.counters,
        )
        self.diagnosis = Diagnosis(self.membership.server, self.environment)
        self._sharing = Sharing(self._vault, self.membership, self._pool)
        await self._sharing.start()
        # Calls go both ways between overlay and links: the pool was made with what places calls,
        # and what answers them learns only here, once all is up, that the pool accepts them.
        self.membership.callee.accept_calls(self._pool.answer)
        self.membership.start()
        self._tasks.start(self._save_contacts_regularly(), name="save contacts")

    async def _open(self) -> None:
        """What can fail: settings, sockets, disk."""
        self.membership = self._make_membership()
        try:
            await self._bind()
            self._certificate = load_or_create(self.home.certificate, self.environment)
            self._vault = await Vault.open(self.home.vault)
        except BaseException:
            await self.membership.stop()
            raise

    def _make_membership(self) -> Membership:
        return Membership(
            self.identity,
            self.environment,
            settings=self._overlay,
            counters=self.counters,
            bootstraps=[Bootstrap.parse(text) for text in self.config.bootstrap],
            saved=self.home.saved_contacts(),
            say=self._say,
        )

    async def _bind(self) -> None:
        for address in self.config.listen_addresses():
            try:
                await self.membership.endpoint.open(address)
            except OSError as error:
                if self.config.listen or error.errno != errno.EADDRINUSE:
                    reason = error.strerror or str(error)
                    raise BadAddress(f"cannot listen on {address}: {reason}") from error
                # Nobody asked for this very port, and another node may have it.
                await self.membership.endpoint.open(Address(address.host, 0))

    def _ice_addresses(self) -> tuple[str, ...] | None:
        if self.config.ice_addresses:
            return self.config.ice_addresses
        if self.membership.is_on_loopback:
            return tuple(one.host for one in self.membership.endpoint.addresses.values())
        return None

    async def stop(self) -> None:
        """End everything in order: calls, downloads, links, overlay, disk, sockets, lock."""
        self.membership.callee.refuse_calls()
        await self._sharing.close()
        await self._pool.close()
        self._save_contacts()
        await self._tasks.close()
        await self.membership.stop()
        await self._vault.close()
        self.home.close()

    async def _save_contacts_regularly(self) -> None:
        await self.joined.wait()
        while True:
            self._save_contacts()
            await asyncio.sleep(limits.SAVE_CONTACTS_S)

    def _save_contacts(self) -> None:
        contacts = self.membership.server.bootstrappable_neighbors()
        if not contacts:
            return
        try:
            self.home.save_contacts(contacts)
        except DiskError as error:
            _log.warning("contacts not saved: %s", error)

    # What the faces ask for ---------------------------------------------------------------

    def friend_addresses(self) -> list[str]:
        """What to give to friends as their `--bootstrap`: `host:port/peer-id`."""
        who = peer_id_text(self.identity.peer_id)
        return [f"{address}/{who}" for address in self.membership.own_addresses()]

    def status(self) -> dict[str, Any]:
        """Everything about the node in one JSON-ready dictionary."""
        server = self.membership.server
        joined_at = self.membership.joining.joined_at
        registrars = self.membership.registrations.registrars
        return {
            "peer_id": peer_id_text(self.identity.peer_id),
            "addresses": [str(address) for address in self.membership.own_addresses()],
            "friend_addresses": self.friend_addresses(),
            "uptime_s": round(asyncio.get_running_loop().time() - self._started_at, 3),
            "reachable": not self.config.unreachable,
            "joined": self.joined.is_set(),
            "join_ms": round((joined_at - self._started_at) * 1000, 1) if joined_at else None,
            "contacts": len(server.tables),
            "registrars": [peer_id_text(contact.peer_id) for contact in registrars],
            "registered_peers": len(server.registrar),
            "forwarded_calls": server.registrar.forwarded,
            "records": len(server.store),
            "links": len(self._pool.links()),
            "datagrams_received": self.counters.datagrams_received,
            "datagrams_sent": self.counters.datagrams_sent,
            "bytes_received": self.counters.bytes_received,
            "bytes_sent": self.counters.bytes_sent,
            "refused": dict(sorted((self.counters.refused + self._sharing.refusals).items())),
        }

    async def mods(self) -> list[dict[str, Any]]:
        """The mods in the vault."""
        return await self._sharing.mods()

    async def share(
        self, path: Path, name: str | None = None, progress: ReportProgress = ignore_progress
    ) -> dict[str, Any]:
        """Publish a folder or a file. Raises BadFolder, UnsafePath, DiskError."""
        return await self._sharing.share(path, name, progress)

    async def remove(self, mod_id: bytes) -> bool:
        """Stop sharing a mod and free its chunks; False if it is not here."""
        return await self._sharing.remove(mod_id)

    async def get(
        self,
        link: ModLink,
        target: Path | None = None,
        *,
        into: Path | None = None,
        progress: ReportProgress = ignore_progress,
    ) -> dict[str, Any]:
        """Fetch a mod and write it as the folder `target`, or under its own name `into` one.

        Raises NotFound, NoSources, TimedOut, BadLink, TargetExists, DiskError.
        """
        return await self._sharing.get(link, target, into=into, progress=progress)

    async def connect(self, peer_id: PeerId) -> dict[str, Any]:
        """Open a link. Raises LinkFailed, CallFailed, NotFound, TimedOut with the reason."""
        return _describe(await self._pool.connect(peer_id))

    async def peers(self, has: ModLink | None = None) -> list[dict[str, Any]]:
        """The peers that this node knows; with `has`, whether their filters hold that mod."""
        return await self._sharing.peers(has)

    def links(self) -> list[dict[str, Any]]:
        """The open links."""
        return [_describe(link) for link in self._pool.links()]


def _describe(link: Link) -> dict[str, Any]:
    now = asyncio.get_running_loop().time()
    return {
        "peer_id": peer_id_text(link.peer_id),
        "direction": link.direction,
        "path": link.path,
        "remote_address": str(link.remote_address),
        "age_s": round(now - link.opened_at, 3),
        "bytes_sent": link.bytes_sent,
        "bytes_received": link.bytes_received,
    }
