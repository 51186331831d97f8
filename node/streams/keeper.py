"""When UDP is silent: two streams to public nodes, redialled, and back to UDP once it answers."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from node.answers.network import StreamStatus
from node.net.endpoint import Endpoint
from node.streams.client import OwnStream, OwnStreams
from protocol import limits
from protocol.addresses import Address, is_global
from protocol.errors import BadConfig, StreamFailed, UnexpectedReply
from protocol.identity import PeerId
from protocol.overlay.bootstrap import Bootstrap
from protocol.places.tenure import network_of
from protocol.randomness import Random
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun

_log = logging.getLogger(__name__)

Gateways = list[tuple[Address, PeerId | None]]
"""Addresses of nodes that may take a stream, the best first, and who is there, if known."""


class StreamKeeper:
    """`is_silent`: whether UDP brings no answers. `gateways` names nodes that may take streams,
    and `hinted` those that are tried besides where there is no stream.

    `changed` is called each time that the way to the overlay has become another one.
    """

    def __init__(
        self,
        streams: OwnStreams,
        endpoint: Endpoint,
        rng: Random,
        *,
        is_silent: Callable[[], bool],
        gateways: Callable[[], Awaitable[Gateways]],
        hinted: Callable[[], Awaitable[Mapping[Address, PeerId | None]]],
        changed: Callable[[], None],
    ) -> None:
        self._streams = streams
        self._endpoint = endpoint
        self._rng = rng
        self._is_silent = is_silent
        self._gateways = gateways
        self._hinted = hinted
        self._changed = changed
        self._kept: list[OwnStream] = []
        self._led_by: OwnStream | None = None
        self._has_led = False
        self._hurried_at = -math.inf
        self._asked: frozenset[Address] = frozenset()
        self._prefix = rng.randbytes(4)
        self._udp_answers = asyncio.Event()
        self._news = asyncio.Event()
        self._offered = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def is_blocked(self) -> bool:
        """Whether this node goes by streams, as UDP is silent."""
        return self._led_by is not None

    @property
    def kept(self) -> tuple[OwnStream, ...]:
        """The gateways' streams, the one that leads first."""
        return tuple(self._kept)

    def nodes(self) -> list[Bootstrap]:
        """The gateways, as nodes to join through."""
        return [Bootstrap(*one.gateway, one.peer_id) for one in self._kept]

    def status(self, listening: tuple[Address, ...], served: int) -> StreamStatus:
        """By what this node goes now; it takes streams at `listening`, and serves some."""
        gateways = tuple(one.gateway for one in self._kept)
        return StreamStatus(listening, served, gateways, tuple(self._streams.failures))

    async def run(self) -> None:
        """Watch, until cancelled."""
        self._endpoint.demux.register_transactions(self._prefix, self)
        while True:
            await asyncio.sleep(limits.UDP_LOOK_S)
            self._streams.close_unused(self._kept, self._loop.time())
            if self._is_silent():
                if await self._hears_udp():
                    await asyncio.sleep(limits.UDP_SILENT_S)  # dead contacts, and no closed network
                else:
                    await self._go_by_streams()

    def look_again(self) -> None:
        """Other nodes are hinted at that may take streams."""
        self._offered.set()

    def ended(self, stream: OwnStream) -> None:
        """A stream has ended: another one leads, and one is opened in its place.

        Without another one the network may have changed: UDP is asked as well, at once.
        """
        if stream in self._kept:
            self._kept.remove(stream)
            self._lead()
            if not self._kept:
                self._ask_by_udp([stream.gateway])
                self._offered.set()
            self._news.set()

    def _lead(self) -> None:
        leading = self._kept[0] if self._kept else None
        if leading is self._led_by:
            return
        self._led_by = leading
        if leading is None:
            self._endpoint.detour(None)
        else:
            everywhere = not is_global(leading.gateway.host)
            self._endpoint.detour(leading.port, lambda remote: everywhere or is_global(remote.host))
        self._changed()

    async def _hears_udp(self) -> bool:
        """Whether any of several nodes answers by UDP at once."""
        asked = [gateway for gateway, _ in await self._gateways()][: limits.UDP_ASKED]
        self._udp_answers.clear()
        self._ask_by_udp(asked)
        try:
            async with asyncio.timeout(limits.UDP_CONFIRM_S):
                await self._udp_answers.wait()
        except TimeoutError:
            return False
        return True

    # While UDP is silent --------------------------------------------------------------------------

    async def _go_by_streams(self) -> None:
        """Keep streams until UDP answers, or is not silent any more before one was open."""
        self._udp_answers.clear()
        self._has_led = False
        pause_s, longest_s = limits.STREAM_RETRY_S
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._probe(), name="try UDP"),
                group.create_task(self._dial_hinted(), name="dial hinted nodes"),
            ]
            while not self._udp_answers.is_set() and (self._has_led or self._is_silent()):
                self._news.clear()
                await self._fill()
                self._has_led = self.is_blocked
                is_full = len(self._kept) >= limits.STREAM_GATEWAYS
                if is_full:
                    pause_s = limits.STREAM_RETRY_S[0]
                await self._wait(limits.STREAM_ASKED_S if is_full else pause_s * self._jitter())
                if not is_full:
                    pause_s = min(2 * pause_s, longest_s)
                self._streams.close_unused(self._kept, self._loop.time())
            for task in beside:
                task.cancel()
        self._leave()

    def _leave(self) -> None:
        self._streams.failures.clear()  # of a network that passed no UDP, which is over
        kept, self._kept = self._kept, []
        self._lead()
        for stream in kept:
            stream.port.close()

    async def _wait(self, longest_s: float) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._news.wait()
        except TimeoutError:
            return
        now = self._loop.time()
        if not self._kept and now - self._hurried_at > limits.STREAM_SILENT_S:
            self._hurried_at = now  # links wait for it, and it is not so that all end all the time
            return
        await asyncio.sleep(limits.STREAM_RETRY_S[0] * self._jitter())

    def _jitter(self) -> float:
        return 0.5 + self._rng.random()

    async def _fill(self) -> None:
        """Open streams until there are enough, or no gateway is left to try.

        Each second a few more are dialled: dead ones hold back no living one.
        """
        left = await self._gateways()
        dialing: dict[asyncio.Task[None], float] = {}
        async with asyncio.TaskGroup() as group:
            while len(self._kept) < limits.STREAM_GATEWAYS and not self._udp_answers.is_set():
                left = self._in_order(left)
                for _ in range(self._free_dials(dialing.values())):
                    if left:
                        gateway, expected = left.pop(0)
                        dial = self._try(gateway, expected)
                        task = group.create_task(dial, name=f"stream to {gateway}")
                        dialing[task] = self._loop.time()
                if not dialing:
                    break
                done, _ = await asyncio.wait(
                    dialing, timeout=limits.STREAM_DIALS_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    del dialing[task]
            for task in dialing:
                task.cancel()

    def _in_order(self, gateways: Gateways) -> Gateways:
        """Those that none of the kept streams leads to, those of other networks first."""
        networks = {network_of(one.gateway.host) for one in self._kept} - {b""}
        left = _unserved(gateways, self._kept)
        return sorted(left, key=lambda one: network_of(one[0].host) in networks)

    def _free_dials(self, began_at: Collection[float]) -> int:
        """How many gateways may be dialled now, beside those that were since these times."""
        lately = sum(self._loop.time() - at < limits.STREAM_DIALS_S for at in began_at)
        return min(limits.STREAM_DIALS - lately, limits.STREAM_DIALS_MAX - len(began_at))

    async def _dial_hinted(self) -> None:
        """While there is no stream, beside the known nodes, as all of these may be dead.

        A link's maker chose them: nothing is sent to private networks for that, and one is kept, as
        the other place is for other nodes.
        """
        pause_s, longest_s = limits.STREAM_RETRY_S
        while True:
            self._offered.clear()
            hinted = {} if self._kept else await self._hinted()
            async with asyncio.TaskGroup() as group:
                for gateway, expected in hinted.items():
                    if not is_global(gateway.host):
                        continue
                    dialing = self._try(gateway, expected, places=1)
                    group.create_task(dialing, name=f"stream to {gateway}, hinted")
            await asyncio.sleep(pause_s * self._jitter())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest_s):
                    await self._offered.wait()

    async def _try(
        self, gateway: Address, expected: PeerId | None, places: int = limits.STREAM_GATEWAYS
    ) -> None:
        try:
            stream = await self._streams.open(gateway, expected)
        except StreamFailed:
            return
        except BadConfig as error:
            _log.warning("no stream: %s", error)
            self._streams.note_failure(error)
            return
        if stream in self._kept:
            return
        if len(self._kept) < places and not stream.port.is_closing():
            self._kept.append(stream)
            self._lead()
        else:
            stream.port.close()

    # Whether UDP answers again --------------------------------------------------------------------

    async def _probe(self) -> None:
        """Ask the gateways by UDP, at growing intervals."""
        pause_s, longest_s = limits.UDP_PROBE_S
        while True:
            await asyncio.sleep(pause_s * self._jitter())
            self._ask_by_udp(stream.gateway for stream in self._kept)
            pause_s = min(2 * pause_s, longest_s)

    def _ask_by_udp(self, gateways: Iterable[Address]) -> None:
        asked = list(gateways)
        self._asked = frozenset(asked)
        for gateway in asked:
            transaction = self._prefix + self._rng.randbytes(8)
            message = StunMessage(StunClass.REQUEST, StunMethod.BINDING, transaction, ())
            local = self._endpoint.addresses.get(gateway.family)
            if local is not None:
                self._endpoint.sendto(encode_stun(message), gateway, local)

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """A gateway's answer, which came by a socket of UDP or is none of ours."""
        if source not in self._asked:
            raise UnexpectedReply("an answer of an address that was not asked")
        self._udp_answers.set()
        self._news.set()


def _unserved(gateways: Gateways, kept: Iterable[OwnStream]) -> Gateways:
    """Those that no kept stream leads to, and one address of each, as one serves one stream."""
    addresses = {one.gateway for one in kept}
    peers: set[PeerId | None] = {one.peer_id for one in kept}
    found: Gateways = []
    for address, peer_id in gateways:
        if address not in addresses and (peer_id is None or peer_id not in peers):
            found.append((address, peer_id))
            peers.add(peer_id)
    return found
