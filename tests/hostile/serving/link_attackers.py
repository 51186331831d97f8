"""Attackers of a holder's links: on links of their own making, and behind relays."""

from node.links.link import Link
from simulations.residents.pairs import settle
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import Town


async def raw_link(attacker: WholeResident, holder: WholeResident) -> Link:
    """A link on which requests are the attacker's own, and answers are taken for nothing."""
    link = await attacker.running_node.pool.connect(holder.identity.peer_id)
    exchange = attacker.running_node.sharing._exchanges.attach(link)
    exchange._answered = lambda *_: None  # type: ignore[method-assign]
    return link


async def hider(town: Town, address: str = "") -> WholeResident:
    """One behind a router of this address, who hides it: others meet it at relays alone."""
    box = town.world.internet.add_nat(addresses=[address] if address else None)
    made = town.world.add(WholeResident, host=town.world.internet.add_host(behind=box))
    assert isinstance(made, WholeResident)
    made.hides_address = True
    await settle(made)
    return made


def only_by(person: WholeResident, relay: WholeResident) -> None:
    """Calls of this node name one relay, and none that answers name is used."""
    relays = person.running_node.pool._parts.paths.relays
    relays.to_name = lambda *_: (relay.contact,)  # type: ignore[method-assign]
    relays.named_by = lambda *_: []  # type: ignore[method-assign]
