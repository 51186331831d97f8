"""Joining the overlay by saved contacts and bootstraps, tried again until it works."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from node.machine.refusals import reason_of
from node.net.names import NameLookups
from node.overlay.server import OverlayServer
from node.overlay.table.meetings import Meetings
from protocol import limits
from protocol.addresses import Address, canonical, unicast
from protocol.errors import BadAddress, ModswarmError, NotAuthentic, TimedOut
from protocol.identity import PeerId, peer_id_text
from protocol.overlay.bootstrap import Bootstrap
from protocol.overlay.contacts import Contact

_log = logging.getLogger(__name__)


class Joining:
    """Joins by saved contacts or bootstraps, and tries again until one works.

    `say` takes a sentence for people about each bootstrap that does not answer. `ways`: the
    gateways of this node's streams, which are nodes to join through too.
    """

    def __init__(
        self,
        server: OverlayServer,
        bootstraps: Sequence[Bootstrap],
        saved: Sequence[Contact],
        names: NameLookups,
        *,
        say: Callable[[str], None],
        ways: Callable[[], Iterable[Bootstrap]] = list,
    ) -> None:
        self._server = server
        self._bootstraps = bootstraps
        self._saved = saved
        self._names = names
        self._ways = ways
        self._say = say
        self.joined = asyncio.Event()
        self._told = asyncio.Event()
        self._again = asyncio.Event()
        self.joined_at: float | None = None

    @property
    def known_nodes(self) -> int:
        """How many nodes there are to join through: bootstraps, and contacts of the last run."""
        return len(self._bootstraps) + len(self._saved)

    async def outcome(self) -> bool:
        """Whether this node has joined; waits for its first try, and for no later one.

        A node that knows none to join through has not, until another joins through it.
        """
        if self.known_nodes or len(self._server.tables):
            await self._told.wait()
        return self.joined.is_set()

    async def be_joined_through(self) -> None:
        """A first node has joined as well once a peer behind a NAT has, which is no contact."""
        await self._server.registrar.has_registered.wait()
        await asyncio.sleep(limits.JOINED_THROUGH_S)
        self.joined.set()

    async def run(self) -> None:
        """Try until joined; then watch, and join again if every contact is lost."""
        connectivity = self._server.protocol.maintenance.connectivity
        pause_s = limits.JOIN_RETRY_MIN_S
        while True:
            if self.joined.is_set():
                await connectivity.gone()
            if not self._bootstraps and not self._saved:
                # The first node of a network: it is joined once another node joins through it.
                await connectivity.present()
            succeeded = await self._try()
            if succeeded or not self._again.is_set():
                self._told.set()
            if succeeded:
                pause_s = limits.JOIN_RETRY_MIN_S
                continue
            self._server.wire.begin_new_epoch()
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, limits.JOIN_RETRY_MAX_S)

    async def _pause(self, seconds: float) -> None:
        """Wait before the next try; shorter where another node joins through this one meanwhile."""
        connectivity = self._server.protocol.maintenance.connectivity
        async with asyncio.TaskGroup() as group:
            news: list[asyncio.Task[object]] = [
                group.create_task(self._again.wait(), name="another way to the overlay")
            ]
            if not len(self._server.tables):
                news.append(group.create_task(connectivity.present(), name="another node came"))
            await asyncio.wait(news, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for one in news:
                one.cancel()

    def try_again(self) -> None:
        """Try now: there is another way to the overlay."""
        self._again.set()

    def try_anew(self) -> None:
        """Try now; who asks whether this node has joined waits for that try."""
        if not self.joined.is_set():
            self._told.clear()
        self._again.set()

    async def gateways(self) -> list[tuple[Address, PeerId | None]]:
        """The nodes to join through, and contacts of now: any of them may take a stream."""
        found = await self.addresses_of(self._bootstraps)
        for contact in (*self._server.some_contacts(), *self._saved):
            if found.get(contact.address) is None:
                found[contact.address] = contact.peer_id
        return list(found.items())

    async def addresses_of(self, nodes: Iterable[Bootstrap]) -> dict[Address, PeerId | None]:
        """Where these nodes are, as far as it can be found out, and who is there."""
        found: dict[Address, PeerId | None] = {}
        for node in nodes:
            try:
                found[await self._resolve(node)] = node.peer_id
            except (ModswarmError, OSError) as error:
                _log.info("no stream to %s: %s", node, error)
        return found

    async def _try(self) -> bool:
        """Join by saved contacts and bootstraps side by side, whichever answer first.

        Bootstraps are met in any case: nodes that know only one another form an island.
        """
        self._again.clear()
        meetings = self._server.meetings()
        async with asyncio.TaskGroup() as group:
            saved = (*self._saved, *self._server.protocol.maintenance.left_lately)
            sources = [group.create_task(meetings.meet_in_batches(saved), name="ping contacts")]
            for bootstrap in (*self._bootstraps, *self._ways()):
                asking = self._meet(bootstrap, meetings)
                sources.append(group.create_task(asking, name="ask a bootstrap"))
            watching = group.create_task(self._watch(meetings), name="watch for other nodes")
            await meetings.enough(sources)
            watching.cancel()
            return await self._join(meetings)

    async def _watch(self, meetings: Meetings) -> None:
        """Nodes that know only one another may start together: one comes while its own address was
        still silent.
        """
        await self._server.protocol.maintenance.connectivity.present()
        await asyncio.sleep(0)  # it may have answered, which is counted right after
        meetings.another_came()

    async def _meet(self, bootstrap: Bootstrap, meetings: Meetings) -> None:
        contact = await self._ask(bootstrap)
        if contact is not None:
            meetings.meet(contact)

    async def _join(self, meetings: Meetings) -> bool:
        try:
            await self._server.join_by(meetings)
        except ModswarmError as error:
            _log.info("not joined yet: %s", error)
            return False
        if not len(self._server.tables):
            return False
        self.joined_at = asyncio.get_running_loop().time()
        self.joined.set()
        self._told.set()
        return True

    @property
    def _hello_s(self) -> float:
        return self._server.wire.line.limit_s(limits.HELLO_S)

    async def _ask(self, bootstrap: Bootstrap) -> Contact | None:
        try:
            address = await self._resolve(bootstrap)
            contact = await self._server.wire.hello(address, self._hello_s)
            if bootstrap.peer_id not in {None, contact.peer_id}:
                raise NotAuthentic(
                    f"{peer_id_text(contact.peer_id)} answers there, which is another peer"
                )
        except TimedOut:
            self._say(f"The bootstrap {bootstrap} does not answer. {self._why(bootstrap)}")
        except (ModswarmError, OSError) as error:
            why = reason_of(error) if isinstance(error, OSError) else error
            self._say(f"The bootstrap {bootstrap} cannot be used: {why}. This node keeps trying.")
        else:
            return contact
        return None

    def _why(self, bootstrap: Bootstrap) -> str:
        """What may be wrong where a bootstrap is silent, and what happens next."""
        if ":" not in bootstrap.host and not self._server.speaks(4):
            return (
                "This machine has no IPv4 address: it needs a network that translates (NAT64) or a "
                "bootstrap with an IPv6 address. This node keeps trying."
            )
        return "Is it running, and is UDP let through? This node keeps trying."

    async def _resolve(self, bootstrap: Bootstrap) -> Address:
        found = await self._names.find(bootstrap.host)
        named = [canonical(host, bootstrap.port) for host in found]
        usable = [self._server.untranslated(address) for address in named]
        for address in usable:
            if self._server.speaks(address.family):
                return unicast(address)  # a link's hint may name a broadcast address
        raise BadAddress("it has no address of a family that this node listens on")
