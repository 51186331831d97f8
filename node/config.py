"""A node's settings: `config.toml` in its home, overruled by the command line's options."""

import codecs
import contextlib
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from node.content.keeping.keeping import KeepSettings
from node.content.rates.settings import DirectionSettings, RateSettings
from node.interfaces import WILDCARDS
from node.links.page_settings import check_pages
from node.machine.refusals import refused
from node.relay.settings import RelaySettings
from protocol import limits
from protocol.addresses import Address, canonical, is_loopback, split_host_port, unicast
from protocol.content.origins.urls import origin_url
from protocol.errors import BadAddress, BadConfig, BadInput, NotUnicast
from protocol.overlay.bootstrap import Bootstrap
from protocol.rates.day_schedule import DaySchedule
from protocol.texts.rates import OFF, Rate, rate_in
from protocol.texts.wrappings import bare, plain

DEFAULT_PORT = 4001
_SWITCH = ("on", "off")
_DATA_PATHS = ("native", "stock")
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    str: 'a text in quotes, such as "on" or "off" for a switch',
}
_A_RATE = "bytes a second, such as 500k or 2M, or off"
_HOURS = "rates by the hour, such as 08:00-23:00 1M, 23:00-08:00 off"
_TAKES = {
    "listen": "HOST:PORT, such as 0.0.0.0:4001",
    "bootstrap": "HOST:PORT/PEER, as `modswarm id` shows it at another node",
    "relay_ports": "HOST:LOW-HIGH",
    "origins": "the URL of a folder with exported mods, such as https://mods.example/files",
    "serve_http": "HOST:PORT, such as 0.0.0.0:8080",
    "relay_secret": "a secret for foreign clients",
    "page_origins": "the origin of a web page, such as https://mods.example",
    "page_relays": "HOST:PORT of a relay with relay_ports",
    "page_relay_secret": "the relay_secret of those relays",
    "limit_up": _A_RATE,
    "limit_down": _A_RATE,
    "limit_up_per_peer": _A_RATE,
    "limit_down_per_peer": _A_RATE,
    "limit_up_schedule": _HOURS,
    "limit_down_schedule": _HOURS,
}
"""What to give in place of an empty text."""
_MAX_CONFIG_BYTES = 2**16
_AS_UTF8 = "Save it as UTF-8, which every editor offers."
_WAY_OUT = (
    "Mend it, or move it away: without it a node has the usual settings, and nothing is lost."
)
_QUOTES = '; a text stands in quotes, as in relay = "off"'


@dataclass(frozen=True, slots=True)
class Config:
    """The settings. Addresses are text here, as in the file.

    `listen`: one `host:port` per address family, port 0 for any; by default DEFAULT_PORT, or any
    if that is taken, on all addresses of both families that the machine has, and on loopback alone
    if every bootstrap is there. All traffic of the node uses this port.
    `bootstrap`: `host:port`, with `/peer-id` behind it to pin the node that answers. `unreachable`:
    take traffic only from addresses that this node sent to lately, as behind a router.
    `data_path`: which SCTP carries links, `native` or, as reference, `stock`. `upnp`: `off` asks no
    router to forward the port. `port_search`: `off` takes no part in searches by many probes, which
    link peers behind routers of certain kinds and need 384 mappings for a few seconds. `paths`:
    over how many disjoint lookup paths records are read; more paths resist more adversaries.

    `streams`: `off` takes no streams of peers whose network passes no UDP, and opens none where UDP
    is silent.

    `relay`: `on` or `off`, whether peers that cannot reach one another may be linked through this
    node, with at most `relay_rate` bytes a second and `relay_bytes_a_day` in all. `relay_ports`:
    `host:low-high`, ports by which foreign TURN clients with `relay_secret` reach any public
    address, with `relay_private` any address. `hide_address`: links go through relays only, so that
    the peers of links do not learn this node's address, which is published nowhere; contacts of the
    overlay, which this node sends to, see it. The node is then `unreachable`, and no relay.

    `limit_up`, `limit_down`: bytes of content a second to and from all peers, as `500k`, `2M`,
    `off`; `limit_up_per_peer` and `limit_down_per_peer` to and from each; `limit_up_schedule` and
    `limit_down_schedule`: what holds instead for all peers in some hours of the day.
    `downloads_at_once`: of those that wait in the queue.

    `vault_bytes`: what the vault keeps of mods that are neither pinned, followed nor in use; 0 is
    limits.VAULT_BYTES, or a tenth of the disk if that is less. `cache_bytes`: what it keeps besides
    of popular mods that few have, to serve them to others; 0 for none. `scrub`: `off` checks the
    vault's bytes only when a person asks for it, not once a month in the background.

    `origins`: URLs of folders on HTTP servers that are asked for every mod that is fetched, beside
    peers; they learn which mods these are. `serve_http`: host and port at which this node serves
    the sealed chunks and manifests of its complete mods to HTTP clients.

    `page_origins`: origins of web pages that may ask this node's control API for a link, with its
    token, and for nothing else. `page_relays`: `host:port` of relays that such pages may use, which
    have `relay_ports` and `page_relay_secret` as their `relay_secret`.
    """

    listen: tuple[str, ...] = ()
    bootstrap: tuple[str, ...] = ()
    unreachable: bool = False
    data_path: str = "native"
    upnp: str = "on"
    port_search: str = "on"
    paths: int = limits.LOOKUP_PATHS
    streams: str = "on"
    relay: str = "on"
    relay_rate: int = limits.RELAY_BYTES_PER_SECOND
    relay_bytes_a_day: int = limits.RELAY_BYTES_A_DAY
    relay_ports: str = ""
    relay_secret: str = ""
    relay_private: bool = False
    hide_address: bool = False
    limit_up: str = OFF
    limit_down: str = OFF
    limit_up_per_peer: str = OFF
    limit_down_per_peer: str = OFF
    limit_up_schedule: str = ""
    limit_down_schedule: str = ""
    downloads_at_once: int = limits.DOWNLOADS_AT_ONCE
    vault_bytes: int = 0
    cache_bytes: int = 0
    scrub: str = "on"
    origins: tuple[str, ...] = ()
    serve_http: str = ""
    page_origins: tuple[str, ...] = ()
    page_relays: tuple[str, ...] = ()
    page_relay_secret: str = ""

    def __post_init__(self) -> None:
        with _named("bootstrap"):
            for text in self.bootstrap:
                Bootstrap.parse(text)
        if self.data_path not in _DATA_PATHS:
            raise BadConfig(f"data_path must be one of {', '.join(_DATA_PATHS)}")
        self._check_switches()
        if not 1 <= self.paths <= limits.LOOKUP_PATHS_MAX:
            raise BadConfig(f"paths must be from 1 to {limits.LOOKUP_PATHS_MAX}")
        with _named("listen"):
            families = [address.family for address in self.listen_addresses()]
        if len(families) != len(set(families)):
            raise BadConfig("listen takes one address per family, IPv4 or IPv6")
        if not 1 <= self.downloads_at_once <= limits.DOWNLOADS_AT_ONCE_MAX:
            raise BadConfig(f"downloads_at_once must be from 1 to {limits.DOWNLOADS_AT_ONCE_MAX}")
        self.relay_settings()
        self.rate_settings()
        if self.vault_bytes < 0:
            raise BadConfig("vault_bytes must be a number of bytes, or 0 for the usual ones")
        self.origin_urls()
        self.http_addresses()
        check_pages(self.page_origins, self.page_relays, self.page_relay_secret)
        if self.cache_bytes < 0:
            raise BadConfig("cache_bytes must be a number of bytes, or 0 to cache nothing")

    def _check_switches(self) -> None:
        for name in ("upnp", "port_search", "streams", "relay", "scrub"):
            if getattr(self, name) not in _SWITCH:
                raise BadConfig(f"{name} must be one of {', '.join(_SWITCH)}")

    @property
    def plays_unreachable(self) -> bool:
        """Whether the node takes traffic only from addresses that it sent to lately."""
        return self.unreachable or self.hide_address

    def relay_settings(self) -> RelaySettings:
        """What concerns relaying for others; raises BadConfig, BadAddress.

        A node that hears only addresses that it sent to lately can be no relay.
        """
        return RelaySettings(
            is_on=self.relay == "on" and not self.plays_unreachable,
            rate=self.relay_rate,
            bytes_a_day=self.relay_bytes_a_day,
            ports=self.relay_ports,
            secret=self.relay_secret,
            private=self.relay_private,
        )

    def rate_settings(self) -> RateSettings:
        """How fast content may go; raises BadConfig."""
        return RateSettings(
            up=DirectionSettings(
                _rate("limit_up", self.limit_up),
                _rate("limit_up_per_peer", self.limit_up_per_peer),
                _schedule("limit_up_schedule", self.limit_up_schedule),
            ),
            down=DirectionSettings(
                _rate("limit_down", self.limit_down),
                _rate("limit_down_per_peer", self.limit_down_per_peer),
                _schedule("limit_down_schedule", self.limit_down_schedule),
            ),
        )

    def keep_settings(self) -> KeepSettings:
        """What the vault may keep."""
        return KeepSettings(self.vault_bytes or None, self.cache_bytes, self.scrub == "on")

    def origin_urls(self) -> tuple[str, ...]:
        """The HTTP origins that are asked for each mod; raises BadConfig."""
        if len(self.origins) > limits.ORIGINS_CONFIGURED:
            raise BadConfig(f"origins has more than {limits.ORIGINS_CONFIGURED} of them")
        if self.origins and self.hide_address:
            raise BadConfig(
                "origins would learn the address that hide_address hides: take one of them out"
            )
        try:
            return tuple(dict.fromkeys(map(origin_url, self.origins)))
        except BadInput as error:
            raise BadConfig(f"origins: {error}") from None

    def http_addresses(self) -> list[tuple[str, int]]:
        """Where complete mods are served over HTTP: host and port; raises BadConfig."""
        if not self.serve_http:
            return []
        if self.hide_address:
            raise BadConfig("serve_http shows the address that hide_address hides: take one out")
        try:
            return [split_host_port(bare(plain(self.serve_http)))]
        except BadAddress as error:
            raise BadConfig(f"serve_http: {error}") from None

    def listen_addresses(self) -> list[Address]:
        """The addresses to bind, unless the machine lacks a family; raises BadAddress."""
        if self.listen:
            return [_listen_address(text) for text in self.listen]
        hosts = [Bootstrap.parse(text).host for text in self.bootstrap]
        if hosts and all(map(is_loopback, hosts)):
            return [Address(hosts[0], 0)]
        return [Address(host, DEFAULT_PORT) for host in WILDCARDS]

    def with_overrides(self, **given: Any) -> "Config":
        """These settings, overruled by those of `given` that are not None or empty."""
        return replace(self, **{key: value for key, value in given.items() if value})


@contextlib.contextmanager
def _named(setting: str) -> Iterator[None]:
    """Name the setting of a BadAddress, which stands in a file or behind an option."""
    try:
        yield
    except BadAddress as error:
        raise BadAddress(f"{setting}: {error}") from None


def _rate(setting: str, text: str) -> Rate:
    try:
        return rate_in(text)
    except BadInput as error:
        raise BadConfig(f"{setting}: {error}") from None


def _schedule(setting: str, text: str) -> DaySchedule:
    try:
        return DaySchedule(text)
    except BadInput as error:
        raise BadConfig(f"{setting}: {error}") from None


def _listen_address(text: str) -> Address:
    """Where to bind; raises BadAddress, also for what is no machine's address.

    Quotes around it, which cmd.exe leaves, do no harm.
    """
    try:
        host, port = split_host_port(text)
    except BadAddress:
        if bare(plain(text)) == text:
            raise
        host, port = split_host_port(bare(plain(text)))
    address = Address(canonical(host, port or 1).host, port)
    if address.host not in WILDCARDS:
        try:
            unicast(canonical(host, port or 1))
        except NotUnicast as error:
            raise BadAddress(f"cannot listen there: {error}") from None
    return address


def load(path: Path) -> Config:
    """Read `config.toml`; a missing file gives the defaults. Raises BadConfig, BadAddress."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise refused(error, f"cannot read {path}", BadConfig) from error
    if len(data) > _MAX_CONFIG_BYTES:
        raise BadConfig(f"{path} is larger than a configuration can be", advice=_WAY_OUT)
    try:
        values = tomllib.loads(_text(data, path))
    except tomllib.TOMLDecodeError as error:
        hint = _QUOTES if "Invalid value" in str(error) else ""
        raise BadConfig(f"{path} is not TOML: {error}{hint}", advice=_WAY_OUT) from None
    try:
        return Config(**_typed(values))
    except (BadAddress, BadConfig) as error:
        raise BadConfig(f"{path}: {error}", advice=_WAY_OUT) from None


def _text(data: bytes, path: Path) -> str:
    """The text of a file that any editor may have written; raises BadConfig."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadConfig(f"{path} is UTF-16", advice=_AS_UTF8)
    if b"\0" in data:
        raise BadConfig(
            f"{path} holds NUL characters, as UTF-16 does, or a file after a power failure",
            advice=f"{_AS_UTF8} {_WAY_OUT}",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadConfig(f"line {line} of {path} is not UTF-8", advice=_AS_UTF8) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the types of Config's fields; raises BadConfig naming the setting."""
    typed: dict[str, Any] = {}
    known = {field.name: field.default for field in fields(Config)}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise BadConfig(f"unknown setting {name!r}; {meant}")
        texts = value if isinstance(value, list) else [value]
        if name in _TAKES and any(isinstance(text, str) and not text.strip() for text in texts):
            raise BadConfig(f"{name} has an empty text: give {_TAKES[name]}, or leave it out")
        if isinstance(known[name], tuple):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise BadConfig(f"{name} must be a list of texts")
            typed[name] = tuple(value)
        elif type(value) is not type(known[name]) and name in _TAKES:
            raise BadConfig(f"{name} must be a text in quotes: {_TAKES[name]}")
        elif type(value) is not type(known[name]):
            raise BadConfig(f"{name} must be {_KINDS[type(known[name])]}")
        else:
            typed[name] = value
    return typed
