"""GET requests to origins: redirects, proxies and time limits; what fails says why in a sentence.

No cookie is kept, nothing is decompressed, and no user or password is sent.

Proxies of the environment (HTTP_PROXY and the like) are used for origins of this node's own
settings alone. A proxy looks names up itself, so through it no address of a link's origin could be
checked; those are connected to directly or not at all.
"""

import contextlib
import logging
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from node.content.origins.connecting import (
    AddressRefused,
    LookUp,
    OwnHosts,
    connector,
    system_look_up,
)
from node.content.origins.connections import Asker, Connection, OriginConnections
from node.machine.refusals import reason_of
from protocol import limits
from protocol.content.origins.answers import REDIRECTS
from protocol.content.origins.ports import BLOCKED
from protocol.errors import BadAnswer, OriginFailed

_log = logging.getLogger(__name__)

FindProxy = Callable[[str, str], str | None]
"""The proxy that the environment names for a scheme and a host; None: connect directly."""

_SCHEMES: Final = ("http", "https")
_LOCATION_SHOWN: Final = 80
_USER_AGENT: Final = "modswarm"
_PASSWORD: Final = 407


def environment_proxy(scheme: str, host: str) -> str | None:
    """A FindProxy by HTTP_PROXY, HTTPS_PROXY and NO_PROXY, or what else this system has."""
    if urllib.request.proxy_bypass(host):
        return None
    named = urllib.request.getproxies().get(scheme)
    return f"http://{named}" if named and "://" not in named else named


@dataclass(frozen=True, slots=True)
class OriginAnswer:
    """The head of an answer, whose body is to be read, and the connection by which it comes."""

    http: aiohttp.ClientResponse
    connection: Connection


class OriginClient:
    """The connections to all origins of a node. `close` it."""

    def __init__(
        self,
        look_up: LookUp = system_look_up,
        find_proxy: FindProxy = environment_proxy,
        tls: ssl.SSLContext | None = None,
        own_hosts: OwnHosts = tuple,
    ) -> None:
        """`tls`: whom to trust, if not whom this system trusts."""
        self._look_up = look_up
        self._own_hosts = own_hosts
        self._find_proxy = find_proxy
        self._tls = tls
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._connections = OriginConnections()

    async def close(self) -> None:
        """End all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def others_wait(self, url: str, asker: Asker) -> bool:
        """Whether another download waits for a connection to the server of a URL."""
        return self._connections.others_wait(URL(url, encoded=True), asker)

    @contextlib.asynccontextmanager
    async def get(
        self,
        url: str,
        asker: Asker,
        *,
        trusted: bool,
        byte_range: tuple[int, int] | None = None,
        is_long: bool = False,
    ) -> AsyncIterator[OriginAnswer]:
        """The answer to a GET, once its head is here; redirects are followed.

        `trusted`: the URL is of this node's own settings, so that its host may be private, and a
        proxy may be asked. `is_long`: the answer is one that lasts, as `Connection.keep` has it.
        Raises OriginFailed, BadAnswer, and TurnOver, also inside, when the download's turn is over.
        """
        headers = {"Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
        if byte_range is not None:
            headers["Range"] = f"bytes={byte_range[0]}-{byte_range[1]}"
        at = URL(url, encoded=True)
        own_host = at.host if trusted else None
        for _ in range(limits.ORIGIN_REDIRECTS + 1):
            async with self._connections.turn(at, asker, is_long=is_long) as connection:
                answer = await self._ask(at, headers, trusted=at.host == own_host)
                async with _closing(answer):
                    if answer.status not in REDIRECTS:
                        yield OriginAnswer(answer, connection)
                        return
            at = _next(at, answer.headers.get("Location", ""))
        raise BadAnswer(f"it redirects more than {limits.ORIGIN_REDIRECTS} times")

    async def _ask(
        self, at: URL, headers: dict[str, str], *, trusted: bool
    ) -> aiohttp.ClientResponse:
        named = self._find_proxy(at.scheme, at.host or "")
        proxy = _proxy_url(named) if named and trusted else None
        try:
            return await self._session(trusted=trusted).get(
                at, headers=headers, allow_redirects=False, proxy=proxy
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = said_of(error)
            if proxy is not None:
                by_proxy = f"{failure}, by the proxy {proxy.host} of this system"
                raise type(failure)(by_proxy) from error
            if named and isinstance(failure, OriginFailed):
                raise OriginFailed(f"{failure}; {_PROXY_LEFT_OUT}") from error
            raise failure from error

    def _session(self, *, trusted: bool) -> aiohttp.ClientSession:
        """That for hosts of our own settings, or of links: the two share no connection."""
        if trusted not in self._sessions:
            self._sessions[trusted] = aiohttp.ClientSession(
                connector=connector(
                    self._look_up, self._own_hosts, public_only=not trusted, tls=self._tls
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=limits.ORIGIN_CONNECT_S,
                    sock_read=limits.ORIGIN_READ_S,
                ),
            )
        return self._sessions[trusted]


@contextlib.asynccontextmanager
async def _closing(got: aiohttp.ClientResponse) -> AsyncIterator[None]:
    """Inside, an answer is read; a connection of which all was read is used again."""
    try:
        yield
        got.release()
    finally:
        got.close()


_PROXY_LEFT_OUT: Final = (
    "the proxy of this system is used for origins in config.toml alone, as it hides which address"
    " is connected to: name this one there if you trust it"
)


def _proxy_url(named: str) -> URL:
    """The proxy that the environment names; raises OriginFailed, which keeps its password."""
    with contextlib.suppress(ValueError):
        proxy = URL(named)
        if proxy.scheme in _SCHEMES and proxy.host and proxy.port:
            return proxy
    raise OriginFailed("this system names a proxy that is not of the form http://HOST:PORT")


def _next(at: URL, location: str) -> URL:
    """Where a redirect leads; raises BadAnswer."""
    if not location or len(location) > limits.ORIGIN_REDIRECT_BYTES:
        raise BadAnswer("it redirects without saying where to")
    try:
        to = at.join(URL(location))
    except ValueError:
        raise BadAnswer(f"it redirects to what is no URL: {location[:_LOCATION_SHOWN]!r}") from None
    if to.scheme not in _SCHEMES or not to.host:
        raise BadAnswer(f"it redirects to {str(to)[:_LOCATION_SHOWN]!r}, which is not HTTP")
    if at.scheme == "https" and to.scheme == "http":
        raise BadAnswer("it redirects from https to http, which others can read and change")
    if to.port in BLOCKED:
        raise BadAnswer(f"it redirects to port {to.port}, which is kept for another service")
    if to.user or to.password:
        raise BadAnswer("it redirects to an address with a user or a password")
    return to


def said_of(error: BaseException) -> OriginFailed | BadAnswer:
    """What an error of the connection or of its HTTP means, for a person."""
    if isinstance(error, OriginFailed | BadAnswer):
        return error
    refused = _refusal_in(error)
    if refused is not None:
        return BadAnswer(f"{refused}, where only an origin in this node's own config.toml may be")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        told = getattr(error.certificate_error, "verify_message", "") or "it does not verify"
        return BadAnswer(f"its TLS certificate is not trusted: {told}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return OriginFailed("no address is known for its name")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        says = "a password is asked for" if error.status == _PASSWORD else "it is refused"
        return BadAnswer(f"{says} ({error.status})")
    if isinstance(error, aiohttp.ClientSSLError):
        return BadAnswer("no TLS connection comes about with it")
    if isinstance(error, TimeoutError):
        return OriginFailed("it does not answer in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return OriginFailed(f"no connection to it: {reason_of(error.os_error)}")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        return BadAnswer(f"it does not answer as HTTP does ({type(error).__name__})")
    _log.debug("an origin failed", exc_info=error)
    return OriginFailed("it ended the connection before all had come")


def _refusal_in(error: BaseException) -> AddressRefused | None:
    causes = (error, getattr(error, "os_error", None), error.__cause__)
    return next((one for one in causes if isinstance(one, AddressRefused)), None)
