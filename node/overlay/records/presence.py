"""The records that this node publishes: its addresses, its mods, and its availability filters."""

from collections.abc import Callable, Collection
from functools import partial

from node.overlay.records.publishing import Published
from node.overlay.records.republish import Republisher
from protocol import availability, limits, records
from protocol.addresses import Address
from protocol.availability import Availability, ShardPlace
from protocol.errors import NotFound
from protocol.overlay.messages import OVERLAY_VERSION
from protocol.records import Body, PeerBody, ProviderBody, Record

CONTACT = 1
"""Capability: can be reached unasked, so it may stand in routing tables."""


class Presence:
    """This node's records. `own_addresses` gives the addresses at which it can be reached.

    `is_contact`: whether others may reach it there unasked.
    """

    def __init__(
        self,
        republisher: Republisher,
        *,
        is_contact: Callable[[], bool],
        own_addresses: Callable[[], list[Address]],
    ) -> None:
        self._republisher = republisher
        self._is_contact = is_contact
        self._own_addresses = own_addresses
        self._served: dict[bytes, bool] = {}
        self._shards: dict[ShardPlace, frozenset[bytes]] = {}
        self._announced: dict[ShardPlace, frozenset[bytes]] = {}
        self.publish_peer()

    def publish_peer(self) -> None:
        """Publish the peer record soon: what it says has changed."""
        self._republisher.keep("peer", records.PEER, self._peer_body)

    def peer_record(self) -> Record:
        """A freshly signed peer record."""
        return self._republisher.make(records.PEER, self._peer_body())

    def _peer_body(self) -> PeerBody:
        is_contact = self._is_contact()
        known = self._own_addresses() if is_contact else []
        return PeerBody(
            addresses=tuple(known[: limits.PEER_ADDRESSES]),
            capabilities=CONTACT if is_contact else 0,
            versions=(OVERLAY_VERSION, OVERLAY_VERSION),
            shard_bits=availability.shard_bits_for(self._served),
        )

    def serve(self, mods: Collection[tuple[bytes, bool]]) -> None:
        """From now on serve exactly these mods: (mod id, complete)."""
        wanted = dict(mods)
        for mod_id in [known for known in self._served if known not in wanted]:
            self._republisher.drop(("provider", mod_id))
        for mod_id, complete in wanted.items():
            if self._served.get(mod_id) is not complete:
                body = ProviderBody(mod_id, complete)
                self._republisher.keep(("provider", mod_id), records.PROVIDER, _always(body))
        had_bits = availability.shard_bits_for(self._served)
        self._served = wanted
        self._refresh_shards()
        if availability.shard_bits_for(wanted) != had_bits:
            self.publish_peer()

    def serves(self, mod_id: bytes) -> bool:
        """Whether this node serves a mod, in part at least."""
        return mod_id in self._served

    def _refresh_shards(self) -> None:
        """Announce the filters that changed by more than SHARD_CHANGE, the others when due."""
        shards = availability.spread(self._served)
        bits = availability.shard_bits_for(self._served)
        for place in [known for known in self._shards if known not in shards]:
            if place[0] == bits:
                # Readers still look there: an empty filter tells them that no mod is left.
                shards[place] = frozenset()
            else:
                self._republisher.drop(("availability", place))
                self._announced.pop(place, None)
        self._shards = shards
        for place, held in shards.items():
            if _has_changed(self._announced.get(place), held):
                self._announce_shard(place)

    def _announce_shard(self, place: ShardPlace) -> None:
        make_body = partial(self._shard_body, place)
        self._republisher.keep(("availability", place), records.AVAILABILITY, make_body)

    def _shard_body(self, place: ShardPlace) -> Availability:
        held = self._announced[place] = self._shards[place]
        return availability.build_shard(place, held)

    async def announce(self, mod_id: bytes) -> Published:
        """Publish the provider record of one served mod now; returns where that is stored.

        Peers that ask whether this node has it read the peer record and the filter that this
        names, so these are published beside it unless they are already. Raises NotFound if the mod
        is not served.
        """
        if mod_id not in self._served:
            raise NotFound("this node does not serve that mod")
        bits = availability.shard_bits_for(self._served)
        place = bits, availability.shard_of(mod_id, bits)
        if mod_id in self._shards[place] - self._announced.get(place, frozenset()):
            self._announce_shard(place)
        return await self._republisher.publish_now(
            ("provider", mod_id), "peer", ("availability", place)
        )


def _has_changed(announced: frozenset[bytes] | None, held: frozenset[bytes]) -> bool:
    """Whether a filter differs from the announced one by more than SHARD_CHANGE of its mods."""
    if announced is None:
        return True
    return len(announced ^ held) > limits.SHARD_CHANGE * len(announced)


def _always(body: Body) -> Callable[[], Body]:
    def make_body() -> Body:
        return body

    return make_body
