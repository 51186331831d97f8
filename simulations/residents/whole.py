"""Whole nodes in a world: overlay, links and vault, as people run them, on simulated machines."""

from dataclasses import dataclass
from pathlib import Path

from node.config import Config
from node.runtime import Node
from protocol import limits
from simulations.residents.world import Resident


@dataclass(slots=True)
class WholeResident(Resident):
    """A resident that runs the product's `Node` in a home folder of its own."""

    node: Node | None = None
    hides_address: bool = False
    cache_bytes: int = 0
    vault_bytes: int = 0
    relay_rate: int = limits.RELAY_BYTES_PER_SECOND

    @property
    def home(self) -> Path:
        """Where this node lives; it survives restarts."""
        return self.world.folder / f"node{self.number}"

    @property
    def reached(self) -> frozenset[int]:
        """IPv4 as well behind a NAT64."""
        return self.families | {4} if self.host.is_behind_nat64 else self.families

    @property
    def running_node(self) -> Node:
        """The node of a resident that runs."""
        assert self.node is not None
        return self.node

    @property
    def defects(self) -> list[BaseException]:
        """Those of all tasks of the node, not of its membership alone."""
        return self.running_node.defects

    async def start(self) -> None:
        """Boot the node; it joins in the background."""
        with self.host.running():
            node = Node.open(
                self.home,
                Config(
                    unreachable=self.unreachable,
                    hide_address=self.hides_address,
                    cache_bytes=self.cache_bytes,
                    vault_bytes=self.vault_bytes,
                    relay_rate=self.relay_rate,
                ),
                self.environment(),
                lambda _: None,
                self.world.settings,
            )
            self.identity = node.identity
            if not node.home.saved_contacts():
                node.home.save_contacts(self.world.introducers(self))
            await node.start()
        self.node, self.membership = node, node.membership

    async def stop(self) -> None:
        """Shut the node down in order."""
        await self.end()

    async def end(self) -> None:
        """See Resident; a node has one way to end."""
        if self.node is not None:
            with self.host.running():
                await self.node.stop()
            self.node = self.membership = None
