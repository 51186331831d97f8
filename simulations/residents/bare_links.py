"""Bare links between simulated machines: ICE, DTLS and a data channel, without an overlay."""

import asyncio
from dataclasses import replace
from importlib import import_module
from typing import BinaryIO

from node.counters import Counters
from node.environment import Environment
from node.links.channel.channel import Channel
from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.links.secure import certificate
from node.links.secure.capture import CapturingDtlsPath
from node.links.secure.dtls import DtlsPath
from node.links.settings import DATA_PATHS, FEATURES, OWN_DATA_PATH, LinkSettings
from node.net.endpoint import Endpoint
from protocol.addresses import Address
from protocol.description import Description, DtlsRole
from protocol.identity import PeerId
from simulations.internet import Host, Internet
from simulations.seeds import derive_rng

_ROLES = (DtlsRole.ACTIVE, DtlsRole.PASSIVE)


class LinkEnd:
    """One end of a link on a host, with a port of its own. `channel`: once it is open."""

    channel: Channel

    def __init__(
        self, internet: Internet, host: Host, name: str, data_path: str, capture: BinaryIO | None
    ) -> None:
        self.host = host
        self._data_path = data_path
        self._capture = capture
        rng = derive_rng(internet.seed, "link", name, host.name)
        self._environment = Environment(
            internet.loop.wall_time, rng, lambda: list(host.addresses), None
        )
        self._certificate = certificate.create(self._environment)
        self._endpoint = Endpoint(Counters(), self._environment)
        self._paths = LinkPaths(
            self._endpoint, self._environment, LinkSettings(data_path=data_path)
        )
        self._sctp_init = b""

    async def describe(self, role: DtlsRole) -> Description:
        """Open the port; the DTLS client controls."""
        for address in self.host.addresses:
            await self._endpoint.open(Address(address, 0))
        self._ice = IcePath(self._paths, PeerId(bytes(20)), controlling=role is DtlsRole.ACTIVE)
        described = self._ice.describe(self._certificate.fingerprint, role)
        data_path = import_module(DATA_PATHS[self._data_path])
        self._sctp_init = data_path.describe_init(self._environment.rng)
        return replace(described, features=FEATURES[self._data_path], sctp_init=self._sctp_init)

    async def open(self, remote: Description, role: DtlsRole) -> None:
        """Open the channel to the end that described itself so."""
        await self._ice.connect(remote)
        dtls = self._dtls()
        await dtls.secure(remote.fingerprint, role)
        data_path = import_module(DATA_PATHS[self._data_path])
        self.channel = data_path.create_channel(
            dtls,
            self._environment.rng,
            own_peer=remote.asks_for_sacks,
            inits=(self._sctp_init, remote.sctp_init),
        )
        await self.channel.open()

    async def close(self) -> None:
        """Close the channel, then the port."""
        await self.channel.close()
        await self._endpoint.close()

    def _dtls(self) -> DtlsPath:
        if self._capture is None:
            return DtlsPath(self._ice, self._certificate)
        wall = self._environment.wall
        return CapturingDtlsPath(self._ice, self._certificate, self._capture, wall)


async def open_link(
    internet: Internet,
    hosts: tuple[Host, Host],
    name: str,
    data_path: str = OWN_DATA_PATH,
    capture: BinaryIO | None = None,
) -> tuple[LinkEnd, LinkEnd]:
    """Both ends; `name` tells links between the same hosts apart.

    What the first end sends and receives is written to `capture`, as pcap.
    """
    one, other = (
        LinkEnd(internet, host, name, data_path, file)
        for host, file in zip(hosts, (capture, None), strict=True)
    )
    ends = one, other
    described = await asyncio.gather(
        *(end.host.create_task(end.describe(role)) for end, role in zip(ends, _ROLES, strict=True))
    )
    await asyncio.gather(
        *(
            end.host.create_task(end.open(remote, role))
            for end, remote, role in zip(ends, reversed(described), _ROLES, strict=True)
        )
    )
    return ends
