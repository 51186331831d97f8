"""Opens a stream to a gateway: TCP, a proxy where the environment names one, TLS, proof."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from node.environment import Environment
from node.machine.refusals import reason_of
from node.net.names import NameLookups
from node.streams.connection import StreamConnection
from node.streams.tls import client_context, shown_fingerprint
from protocol import limits
from protocol.addresses import Address
from protocol.errors import LinkClosed, ModswarmError, Oversized, StreamFailed
from protocol.identity import Identity, PeerId, peer_id_of
from protocol.streams.handshake import (
    NONCE_BYTES,
    STREAM_REPLY_BYTES,
    VERDICT_BYTES,
    ClientHandshake,
    StreamTerms,
    wait_of,
)
from protocol.streams.proxies import HEAD_END, Proxy, goes_past, proxy_in, silent

ClaimPlace = Callable[[PeerId], AbstractAsyncContextManager[None]]
"""Within it a gateway is asked for a place; it raises StreamFailed where it has a stream of ours.

A gateway ends a peer's stream for its next one: so one way at a time asks, of all that lead to it.
"""


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """A stream that stands: its connection, and the public key that the gateway has proved."""

    connection: StreamConnection
    public_key: bytes


@dataclass(frozen=True)
class StreamDialer:
    """Opens streams as `identity`, by the proxy that the environment's variables name."""

    identity: Identity
    environment: Environment
    names: NameLookups
    puzzle_bits: int = limits.PUZZLE_BITS

    def proxy_to(self, host: str) -> Proxy | None:
        """The proxy on the way to an IP literal; raises BadConfig."""
        variables = self.environment.variables
        return None if goes_past(variables, host) else proxy_in(variables)

    async def dial(self, to: Address, expected: PeerId | None, claim: ClaimPlace) -> OpenedStream:
        """A stream to a gateway at this address of TCP; raises StreamFailed, BadConfig.

        It claims the gateway before it asks for a place: another way to it may have one.
        """
        proxy = self.proxy_to(to.host)
        connection = StreamConnection()
        try:
            return await self._open(connection, to, expected, proxy, claim)
        except BaseException:
            connection.abort()
            raise

    async def _open(
        self,
        connection: StreamConnection,
        to: Address,
        expected: PeerId | None,
        proxy: Proxy | None,
        claim: ClaimPlace,
    ) -> OpenedStream:
        await self._connect(connection, to, proxy)
        try:
            async with asyncio.timeout(limits.STREAM_HANDSHAKE_S):
                await connection.start_tls(client_context(), server_side=False)
                return await self._prove(connection, expected, claim)
        except TimeoutError:
            raise StreamFailed(
                f"{to} takes the connection, and its handshake stands still"
            ) from None
        except ssl.SSLError as error:
            raise StreamFailed(f"{to} speaks no TLS of ours: {error.reason or error}") from None
        except (OSError, LinkClosed) as error:
            why = reason_of(error) if isinstance(error, OSError) else str(error)
            raise StreamFailed(f"{to} takes no stream: {why}") from None
        except StreamFailed:
            raise
        except ModswarmError as error:
            raise StreamFailed(f"{to} is not the gateway that it should be: {error}") from error

    async def _connect(
        self, connection: StreamConnection, to: Address, proxy: Proxy | None
    ) -> None:
        host, port = (proxy.host, proxy.port) if proxy is not None else to
        where = f"the proxy {proxy}" if proxy is not None else f"{to}"
        try:
            async with asyncio.timeout(limits.STREAM_CONNECT_S):
                await _connect_any(connection, await self.names.find(host), port)
        except TimeoutError:
            raise StreamFailed(f"{where} does not answer by TCP") from None
        except OSError as error:
            raise StreamFailed(f"{where} cannot be reached by TCP: {reason_of(error)}") from None
        if proxy is None:
            return
        try:
            async with asyncio.timeout(limits.STREAM_CONNECT_S):
                connection.send(proxy.request(to))
                proxy.check_answer(await connection.take_until(HEAD_END), to)
        except (TimeoutError, LinkClosed):
            raise silent(proxy) from None
        except Oversized:
            raise StreamFailed(f"the proxy {proxy} answers without an end: is it one?") from None

    async def _prove(
        self, connection: StreamConnection, expected: PeerId | None, claim: ClaimPlace
    ) -> OpenedStream:
        terms = StreamTerms(self.identity, shown_fingerprint(connection), self.puzzle_bits)
        handshake = ClientHandshake(terms, self.environment.rng.randbytes(NONCE_BYTES), expected)
        connection.send(handshake.hello)
        proof = handshake.prove(await connection.take(STREAM_REPLY_BYTES))
        async with claim(peer_id_of(handshake.gateway)):
            connection.send(proof)
            if wait_s := wait_of(await connection.take(VERDICT_BYTES)):
                taken = f"all streams of this gateway are taken, for {wait_s} s at least"
                raise StreamFailed(taken)
        return OpenedStream(connection, handshake.gateway)

    async def dial_any(
        self,
        gateway: Address,
        expected: PeerId | None,
        claim: ClaimPlace,
        failed: Callable[[StreamFailed], None],
    ) -> OpenedStream:
        """A stream by the gateway's own port or by 443, side by side; raises StreamFailed.

        `failed` is told of each way that is none.
        """
        self.proxy_to(gateway.host)  # raises BadConfig before anything begins
        ports = dict.fromkeys((gateway.port, limits.STREAM_PORT))
        race = _Race(failed)
        try:
            async with asyncio.TaskGroup() as group:
                for way in (Address(gateway.host, port) for port in ports):
                    dialing = race.run(self.dial(way, expected, claim))
                    race.tasks.append(group.create_task(dialing, name=f"dial {way}"))
        except BaseException:
            race.abort()
            raise
        if race.won is None:
            raise race.error or StreamFailed(f"{gateway} takes no stream")
        return race.won


async def _connect_any(connection: StreamConnection, hosts: Sequence[str], port: int) -> None:
    """Connect to the first of these IP literals that takes it; raises OSError of the last."""
    loop = asyncio.get_running_loop()
    for host in hosts:
        try:
            await loop.create_connection(lambda: connection, host, port)
        except OSError:
            if host == hosts[-1]:
                raise
        else:
            return


class _Race:
    """Several ways to one gateway, of which the first that stands is kept."""

    def __init__(self, failed: Callable[[StreamFailed], None]) -> None:
        self._failed = failed
        self.tasks: list[asyncio.Task[None]] = []
        self.won: OpenedStream | None = None
        self.error: StreamFailed | None = None

    async def run(self, dialing: Coroutine[Any, Any, OpenedStream]) -> None:
        """Try one way, and end the others if it stands."""
        try:
            opened = await dialing
        except StreamFailed as error:
            self._failed(error)
            self.error = error
            return
        if self.won is not None:
            opened.connection.abort()
            return
        self.won = opened
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def abort(self) -> None:
        """Who asked wants none of them any more."""
        if self.won is not None:
            self.won.connection.abort()
