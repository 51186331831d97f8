"""Nodes that die."""

from simulations.residents.whole import WholeResident


async def crash(person: WholeResident) -> None:
    """Kill a node as SIGKILL does: no peer is told, and the system closes its files."""
    node = person.running_node
    person.crash()
    person.node = None
    await node._vault.close()
    node.home.close()
