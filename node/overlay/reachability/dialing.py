"""Dial-backs for other nodes: DIALBACK finds a contact that sends one, DIAL sends it.

The node that wants to know whether it is public asks this node, which chooses another contact of
its own to send the dial-back: in another network, and, if it knows such, where the asker has sent
nothing lately.
The target is where the asker proved that it receives. The contact takes this node's word for it,
so it bounds what one asker, one host and one network can get, and what askers of one network take
of that; a dial-back has 17 bytes, fewer than each of the requests that lead to it.

A dial-back leaves from a socket that is for nothing else, opened when first needed, one a family.
Where a router accepts unasked datagrams, it remembers the two endpoints, and gives the asker
another port if it ever sends between the same two, and then to all contacts: but nothing is ever
sent to that socket.
"""

import asyncio
import logging

from node.net.endpoint import Endpoint
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.table.tables import Tables
from node.tasks import TaskOwner
from protocol import datagrams, limits
from protocol.addresses import Address, pack_address, unpack_address
from protocol.codec import shape, sized
from protocol.errors import NotUnicast, RateLimited
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.overlay.networks import NetworksOf, are_disjoint, smallest_network
from protocol.overlay.shares import Holder, Shares, holders_of
from protocol.randomness import Random, sample
from protocol.rate_limit import KeyedRateLimit, SharedRateLimit
from protocol.reachability.host_filter import holds

_log = logging.getLogger(__name__)

_REPEATS = 1
"""DIAL is repeated once, with the token that its refusal brings."""


class Dialing:
    """Serves DIALBACK and DIAL. `networks_of` names no network of an address that is not global."""

    def __init__(
        self,
        wire: Wire,
        endpoint: Endpoint,
        tables: Tables,
        rng: Random,
        tasks: TaskOwner,
        *,
        networks_of: NetworksOf,
    ) -> None:
        self._wire = wire
        self._endpoint = endpoint
        self._tables = tables
        self._tasks = tasks
        self._sockets: dict[int, Address | None] = {}
        self._rng = rng
        self._networks_of = networks_of
        self._clock = asyncio.get_running_loop().time
        self._under_way: dict[bytes, Holder] = {}
        self._shares = Shares()
        self._asking = KeyedRateLimit(
            limits.DIALBACKS_PER_SECOND_PER_ASKER, limits.DIALBACKS_BURST_PER_ASKER
        )
        self._per_asker = KeyedRateLimit(
            limits.DIALS_PER_SECOND_PER_ASKER, limits.DIALS_BURST_PER_ASKER
        )
        self._per_host, self._per_network = (
            SharedRateLimit(most, limits.DIALS_PERIOD_S, limits.DIALS_PART)
            for most in (limits.DIALS_PER_HOST, limits.DIALS_PER_NETWORK)
        )

    def find_dialer(self, incoming: Incoming) -> None:
        """DIALBACK [random, hosts]: let another contact send it; answers with its address.

        Raises Malformed, RateLimited.
        """
        random, hosts = shape(incoming.request.arguments, bytes, bytes)
        sized(random, limits.DIALBACK_RANDOM_BYTES)
        if hosts:
            sized(hosts, limits.HOST_FILTER_BYTES)
        self._asking.charge(incoming.session.peer_id, self._clock())
        asker = Contact.at(incoming.session.public_key, incoming.address)
        dialer = self._choose_dialer(asker, random, hosts)
        if dialer is None:
            incoming.answer([], Code.REFUSED)
            return
        key = self._begin(incoming)
        self._ask_to_dial(incoming, dialer, [random, pack_address(incoming.address)], _REPEATS, key)

    def _begin(self, incoming: Incoming) -> bytes:
        """Count a dial-back as under way; the network with most has its oldest counted no more."""
        key = incoming.session.peer_id + incoming.request.transaction
        holder = holders_of(incoming.address.host)[-1]
        if len(self._under_way) >= limits.DIALBACKS_UNDER_WAY:
            yielding = self._shares.yields(holder)
            if yielding is None:
                raise RateLimited("too many dial-backs are under way")
            self._end(yielding)
        self._under_way[key] = holder
        self._shares.add(holder, key)
        return key

    def _end(self, key: bytes) -> None:
        if key in self._under_way:
            self._shares.remove(self._under_way.pop(key), key)

    def dial(self, incoming: Incoming) -> None:
        """DIAL [random, address]: send a dial-back there. Raises Malformed, RateLimited."""
        random, packed = shape(incoming.request.arguments, bytes, bytes)
        target = unpack_address(packed)
        network = smallest_network(
            self._networks_of, Contact.at(incoming.session.public_key, target)
        )
        if not network:
            raise NotUnicast(f"not a global address: {target}")
        datagram = datagrams.dialback(sized(random, limits.DIALBACK_RANDOM_BYTES))
        now = self._clock()
        self._per_asker.charge(incoming.session.peer_id, now)
        holder = holders_of(incoming.address.host)[-1]
        self._per_host.charge(target.host, holder, now)
        self._per_network.charge(network, holder, now)
        if target.family in self._sockets:
            self._send(datagram, target, incoming)
        else:
            self._sockets[target.family] = None
            opening = self._open_and_send(datagram, target, incoming)
            self._tasks.start(opening, name=f"a socket for dial-backs of IPv{target.family}")

    async def _open_and_send(self, datagram: bytes, target: Address, incoming: Incoming) -> None:
        try:
            local = await self._endpoint.open_another(target.family, deaf=True)
        except OSError as error:
            _log.info("no socket for dial-backs: %s", error)
            incoming.answer([], Code.REFUSED)
            del self._sockets[target.family]  # the next one may be opened
            return
        self._sockets[target.family] = local
        self._send(datagram, target, incoming)

    def _send(self, datagram: bytes, target: Address, incoming: Incoming) -> None:
        """Send and answer; refuse while the socket is being opened."""
        local = self._sockets[target.family]
        if local is None:
            incoming.answer([], Code.REFUSED)
            return
        self._endpoint.sendto(datagram, target, local)
        incoming.answer([])

    def _choose_dialer(self, asker: Contact, random: bytes, hosts: bytes) -> Contact | None:
        """A contact in another network than the asker, not among the hosts if there is such."""
        known = [entry.contact for entry in self._tables.of(asker)]
        others = [one for one in known if are_disjoint(self._networks_of, one, asker)]
        unheard = [one for one in others if not hosts or not holds(hosts, one.address.host, random)]
        return next(iter(sample(self._rng, unheard or others, 1)), None)

    def _ask_to_dial(
        self,
        incoming: Incoming,
        dialer: Contact,
        arguments: list[bytes],
        repeats: int,
        key: bytes,
    ) -> None:
        def on_reply(reply: Reply) -> None:
            is_refused = reply.response is not None and reply.response.code == Code.BAD_TOKEN
            if is_refused and repeats:
                self._ask_to_dial(incoming, dialer, arguments, repeats - 1, key)
                return
            self._end(key)
            if reply.response is None:
                incoming.answer([], Code.TIMED_OUT)
            elif reply.response.code == Code.OK:
                incoming.answer([pack_address(dialer.address)])
            else:
                incoming.answer([], Code.REFUSED)

        self._wire.request(
            dialer, Method.DIAL, arguments, on_reply, timeout_s=self._wire.line.longest_s
        )
