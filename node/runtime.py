"""One running node: builds the rooms, starts them, answers about them, and ends them in order."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.calls import Calls
from node.config import Config
from node.content.records import Report, ignore_progress
from node.content.vault import Vault
from node.counters import Counters
from node.endpoint import Endpoint
from node.environment import Environment
from node.home import Home
from node.links.certificate import load_or_create
from node.links.pool import LinkPool
from node.links.settings import LinkSettings
from node.overlay.caller import Caller
from node.overlay.joining import Bootstrap, Joining
from node.overlay.registration import Registrations
from node.overlay.server import OverlayServer
from node.overlay.settings import OverlaySettings
from node.overlay.upkeep import Upkeep
from node.presence import Presence
from node.sharing import Sharing
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.content.link import ModLink
from protocol.errors import BadAddress, DiskError
from protocol.identity import PeerId, peer_id_text

_log = logging.getLogger(__name__)

_LOOPBACK = ("127.", "::1")


class Node:
    """A node in its home. `start`, use, `stop`; a stopped node is not started again.

    `say` takes sentences for the person who runs it.
    """

    def __init__(
        self, home: Home, config: Config, environment: Environment, say: Callable[[str], None]
    ) -> None:
        self.home = home
        self.config = config
        self.environment = environment
        self.identity = home.identity(environment.rng.randbytes)
        self.counters = Counters()
        self.tasks = TaskOwner("node")
        self.joined = asyncio.Event()
        self._say = say
        self._endpoint = Endpoint(self.counters)
        self._started_at = 0.0

    @classmethod
    def open(
        cls, home: Path, config: Config, environment: Environment, say: Callable[[str], None]
    ) -> "Node":
        """Open a home and make its node; about 2 s the first time, for the identity.

        Raises HomeError, DiskError.
        """
        opened = Home.open(home)
        try:
            return cls(opened, config, environment, say)
        except BaseException:
            opened.close()
            raise

    @property
    def defects(self) -> list[BaseException]:
        """What tasks raised that no code foresaw."""
        return self.tasks.defects

    # Life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind the sockets and start everything; joining goes on in the background.

        Raises BadAddress, HomeError, DiskError, InsecureRandomness; then nothing is left behind.
        """
        self.environment.check_randomness()
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        try:
            self._vault = await Vault.open(self.home.vault, self.environment)
            await self._bind()
        except BaseException:
            await self._endpoint.close()
            self.home.close()
            raise
        self._build_overlay()
        self._build_links()
        self._sharing = Sharing(self._vault, self._overlay, self._pool, self._presence, self._calls)
        await self._sharing.start()
        self._start_tasks()

    async def _bind(self) -> None:
        for address in self.config.listen_addresses():
            try:
                await self._endpoint.open(address)
            except OSError as error:
                raise BadAddress(
                    f"cannot listen on {address}: {error.strerror or error}"
                ) from error

    def _build_overlay(self) -> None:
        settings = OverlaySettings(unreachable=self.config.unreachable)
        self._overlay = OverlayServer(
            self.identity,
            self.environment,
            settings=settings,
            tasks=self.tasks,
            counters=self.counters,
        )
        self._overlay.listen(self._endpoint)
        self._caller = Caller(self._overlay, self.environment)
        self._calls = Calls(self._caller)
        self._upkeep = Upkeep(self._overlay, self.environment)
        self._presence = Presence(
            self._upkeep,
            reachable=not self.config.unreachable,
            own_addresses=self._own_addresses,
        )
        self._registrations = Registrations(self._overlay, self._presence.peer_record)
        self._joining = Joining(
            self._overlay,
            [Bootstrap.parse(text) for text in self.config.bootstrap],
            self.home.saved_contacts(),
            say=self._say,
        )

    def _build_links(self) -> None:
        self._pool = self._calls.pool = LinkPool(
            self.identity,
            self.environment,
            load_or_create(self.home.certificate, self.environment),
            LinkSettings(data_path=self.config.data_path, ice_addresses=self._ice_addresses()),
            self._calls.call,
            self.counters,
        )
        self._caller.on_offer = self._calls.answer

    def _start_tasks(self) -> None:
        self.tasks.start(self._join(), name="join")
        self.tasks.start(self._upkeep_when_joined(), name="keep our records alive")
        self.tasks.start(self._save_contacts_regularly(), name="save contacts")
        if self.config.unreachable:
            self.tasks.start(self._register_when_joined(), name="stay callable")

    async def stop(self) -> None:
        """End everything in order: calls, downloads, links, overlay, disk, sockets, lock."""
        self._caller.on_offer = None
        await self._sharing.close()
        await self._pool.close()
        self._save_contacts()
        self._overlay.stop()
        await self.tasks.close()
        await self._vault.close()
        await self._endpoint.close()
        self.home.close()

    async def _join(self) -> None:
        watching = asyncio.get_running_loop().create_task(self._joining.run())
        try:
            await self._joining.joined.wait()
            self.joined.set()
            await watching
        finally:
            watching.cancel()

    async def _upkeep_when_joined(self) -> None:
        await self.joined.wait()
        await self._upkeep.run()

    async def _register_when_joined(self) -> None:
        await self.joined.wait()
        await self._registrations.run()

    async def _save_contacts_regularly(self) -> None:
        while True:
            await asyncio.sleep(limits.SAVE_CONTACTS_S)
            self._save_contacts()

    def _save_contacts(self) -> None:
        contacts = self._overlay.bootstrappable_neighbors()
        if not contacts:
            return
        try:
            self.home.save_contacts(contacts)
        except DiskError as error:
            _log.warning("contacts not saved: %s", error)

    # Where we are -------------------------------------------------------------------------

    def _own_addresses(self) -> list[Address]:
        """Where others can send to, as far as this machine knows."""
        found: list[Address] = []
        for bound in self._endpoint.addresses.values():
            if bound.host not in {"0.0.0.0", "::"}:  # noqa: S104 (compared, not bound)
                found.append(bound)
                continue
            hosts = [host for host in self.environment.host_addresses() if _is_shareable(host)]
            candidates = [Address(host, bound.port) for host in hosts]
            found += [one for one in candidates if one.family == bound.family]
        return found

    def _ice_addresses(self) -> tuple[str, ...] | None:
        if self.config.ice_addresses:
            return self.config.ice_addresses
        bound = [address.host for address in self._endpoint.addresses.values()]
        loopback = [host for host in bound if host.startswith(_LOOPBACK)]
        return tuple(loopback) if loopback == bound else None

    def friend_addresses(self) -> list[str]:
        """What to give to friends as their `--bootstrap`: `host:port/peer-id`."""
        who = peer_id_text(self.identity.peer_id)
        return [f"{address}/{who}" for address in self._own_addresses()]

    # What the faces ask for ---------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Everything about the node in one JSON-ready dictionary."""
        loop = asyncio.get_running_loop()
        joined_at = self._joining.joined_at
        return {
            "peer_id": peer_id_text(self.identity.peer_id),
            "addresses": [str(address) for address in self._own_addresses()],
            "friend_addresses": self.friend_addresses(),
            "uptime_s": round(loop.time() - self._started_at, 3),
            "reachable": not self.config.unreachable,
            "joined": self.joined.is_set(),
            "join_ms": round((joined_at - self._started_at) * 1000, 1) if joined_at else None,
            "contacts": len(self._overlay.tables),
            "registrars": [
                peer_id_text(contact.peer_id) for contact in self._registrations.registrars
            ],
            "registered_peers": len(self._overlay.registrar),
            "forwarded_calls": self._overlay.registrar.forwarded,
            "records": len(self._overlay.store),
            "links": len(self._pool.links()),
            "datagrams_received": self.counters.datagrams_received,
            "datagrams_sent": self.counters.datagrams_sent,
            "bytes_received": self.counters.bytes_received,
            "bytes_sent": self.counters.bytes_sent,
            "refused": dict(sorted(self.counters.refused.items())),
        }

    async def mods(self) -> list[dict[str, Any]]:
        """The mods in the vault."""
        return await self._sharing.mods()

    async def share(
        self, path: Path, name: str | None = None, progress: Report = ignore_progress
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
        progress: Report = ignore_progress,
    ) -> dict[str, Any]:
        """Fetch a mod and write it as the folder `target`, or under its own name `into` one.

        Raises NotFound, NoSources, TimedOut, BadLink, TargetExists, DiskError.
        """
        return await self._sharing.get(link, target, into=into, progress=progress)

    async def connect(self, peer_id: PeerId) -> dict[str, Any]:
        """Open a link. Raises LinkFailed, CallFailed, NotFound, TimedOut with the reason."""
        link = await self._pool.connect(peer_id)
        return self._describe_link(link)

    async def peers(self, has: ModLink | None = None) -> list[dict[str, Any]]:
        """The peers that this node knows; with `has`, whether their filters hold that mod."""
        return await self._sharing.peers(has)

    def links(self) -> list[dict[str, Any]]:
        """The open links."""
        return [self._describe_link(link) for link in self._pool.links()]

    def _describe_link(self, link: Any) -> dict[str, Any]:
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


def _is_shareable(host: str) -> bool:
    return not host.startswith((*_LOOPBACK, "169.254.", "fe80:"))
