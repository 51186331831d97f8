"""Two channels over ICE and DTLS on loopback, without a session, of any data path on each side."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from node.links.channel.channel import Channel
from node.links.path.ice import IcePath
from node.links.secure.certificate import create
from node.links.secure.dtls import DtlsPath
from node.links.settings import DATA_PATHS, FEATURES
from protocol.addresses import Address
from protocol.description import Description, DtlsRole
from tests.node.links.link_network import SETTINGS, environment, open_paths

_LATER = {True: DtlsRole.PASSIVE, False: DtlsRole.ACTIVE}


@dataclass(eq=False)
class End:
    """One side: its channel, what it received, and the layers below for attacks."""

    data_path: str
    dtls: DtlsPath
    channel: Channel = field(init=False)
    received: list[bytes] = field(default_factory=list)

    @property
    def association(self) -> Any:
        channel: Any = self.channel
        return channel._association

    @property
    def port(self) -> Any:
        return self.dtls.ice._port


async def _secure(
    ice: IcePath, certificate: Any, own: Description, peer: Description, data_path: str
) -> End:
    await ice.connect(peer)
    dtls = DtlsPath(ice, certificate)
    await dtls.secure(peer.fingerprint, DtlsRole(own.role))
    end = End(data_path, dtls)
    carrier = import_module(DATA_PATHS[data_path])
    end.channel = carrier.create_channel(
        dtls,
        random.Random(len(own.candidates)),
        own_peer=peer.asks_for_sacks,
        inits=(own.sctp_init, peer.sctp_init),
    )
    end.channel.receiver = end.received.append
    return end


@contextlib.asynccontextmanager
async def channels(
    caller: str = "native", callee: str = "native", address: str = "127.0.0.1"
) -> AsyncIterator[tuple[End, End]]:
    """Two open channels, closed at the end. The caller is the DTLS server."""
    here = environment(random.Random(7))
    parts, opened = [], []
    for data_path, controlling in ((caller, True), (callee, False)):
        paths = await open_paths(here, SETTINGS, (Address(address, 0),))
        opened.append(paths.endpoint)
        ice, certificate = IcePath(paths, bytes(20), controlling=controlling), create(here)
        described = ice.describe(certificate.fingerprint, _LATER[controlling])
        init = import_module(DATA_PATHS[data_path]).describe_init(here.rng)
        described = replace(described, features=FEATURES[data_path], sctp_init=init)
        parts.append((ice, certificate, described, data_path))
    (ice, certificate, one, path), (other_ice, other_certificate, other, other_path) = parts
    ends = await asyncio.gather(
        _secure(ice, certificate, one, other, path),
        _secure(other_ice, other_certificate, other, one, other_path),
    )
    await asyncio.gather(*(end.channel.open() for end in ends))
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            await end.channel.close()
        for endpoint in opened:
            await endpoint.close()
