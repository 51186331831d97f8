"""What links stand on above ICE: half a second of imports, begun once the node has joined."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from node.links.channel.channel import Channel
from node.links.path.ice import IcePath
from node.links.secure.certificate import Certificate
from node.links.settings import DATA_PATHS

if TYPE_CHECKING:
    from node.links.secure.dtls import DtlsPath


@dataclass(frozen=True, slots=True)
class Layers:
    """How to make the layers of one link; see `DATA_PATHS` for the channel."""

    secure: Callable[[IcePath, Certificate], "DtlsPath"]
    create_channel: Callable[..., Channel]


class LayersLoader:
    """Imports the layers of a data path once, in a thread, while attempts already call."""

    def __init__(self, data_path: str) -> None:
        self._data_path = data_path
        self._loading: asyncio.Future[Layers] | None = None

    def begin(self) -> None:
        """Begin to import, unless that was done."""
        if self._loading is None:
            loop = asyncio.get_running_loop()
            self._loading = loop.run_in_executor(None, _load, self._data_path)

    async def loaded(self) -> Layers:
        """The layers, once they are here."""
        self.begin()
        assert self._loading is not None
        return await asyncio.shield(self._loading)  # one attempt's end is not that of others


def _load(data_path: str) -> Layers:
    create_channel: Callable[..., Channel] = import_module(DATA_PATHS[data_path]).create_channel
    return Layers(import_module("node.links.secure.dtls").DtlsPath, create_channel)
