"""Rounds of dial-backs to this node: whether datagrams come in from where it sent nothing."""

import asyncio
import logging
from typing import NamedTuple

from node.net.endpoint import Endpoint
from node.overlay.rpc.wire import Wire
from node.overlay.table.tables import FAMILY_BITS, Tables
from node.tasks import TaskOwner
from protocol import datagrams, limits
from protocol.addresses import Address, unpack_address
from protocol.codec import shape
from protocol.errors import ModswarmError, RemoteError, UnexpectedReply
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.overlay.networks import NetworksOf, are_disjoint, smallest_network
from protocol.randomness import Random, sample
from protocol.reachability.host_filter import make_host_filter
from protocol.reachability.verdict import DialbackRound, RoundOutcome, Trial

_log = logging.getLogger(__name__)


class _Arrival(NamedTuple):
    """A dial-back that came in; `unasked`: from a host not sent to or heard from lately."""

    source: Address
    unasked: bool


class ReachabilityTest:
    """Asks contacts, each in a network of its own, for dial-backs, and tells what came of it."""

    def __init__(
        self,
        wire: Wire,
        endpoint: Endpoint,
        tables: Tables,
        rng: Random,
        *,
        networks_of: NetworksOf,
    ) -> None:
        self._wire = wire
        self._sent_hosts = endpoint.sent_hosts
        self._heard_hosts = endpoint.heard_hosts
        self._tables = tables
        self._rng = rng
        self._networks_of = networks_of
        self._awaited: dict[bytes, asyncio.Future[_Arrival]] = {}
        endpoint.demux.register_reader(datagrams.DIALBACK, self._receive, notes_hosts=True)

    async def run(self, family: int) -> RoundOutcome:
        """One round by an address family."""
        askable = self._askable(family)
        testing = DialbackRound(len(askable))
        dialers: set[bytes] = set()
        trials: set[asyncio.Task[Trial]] = set()
        owner = TaskOwner("dial-backs")
        try:
            while (outcome := testing.outcome) is None:
                for _ in range(testing.wanted()):
                    contact = askable.pop(0)
                    askable.append(contact)
                    trials.add(owner.start(self._try(contact, dialers), name="ask for one"))
                    testing.started()
                done, trials = await asyncio.wait(trials, return_when=asyncio.FIRST_COMPLETED)
                for trial in done:
                    testing.ended(trial.result())
        finally:
            await owner.close()
        _log.info("IPv%d: %s by dial-backs", family, outcome.value)
        return outcome

    def _askable(self, family: int) -> list[Contact]:
        """Contacts with global addresses, each in a network of its own, in random order."""
        tables = [table for _, table in self._tables.spoken(FAMILY_BITS[family])]
        known = [entry.contact for table in tables for entry in table if not entry.failures]
        found: dict[bytes, Contact] = {}
        for contact in sample(self._rng, known, len(known)):
            network = smallest_network(self._networks_of, contact)
            if network:
                found.setdefault(network, contact)
        return list(found.values())[: limits.DIALBACK_TRIES]

    async def _try(self, contact: Contact, dialers: set[bytes]) -> Trial:
        """Ask one contact for a dial-back; `dialers` has the networks that sent any so far."""
        random = self._rng.randbytes(limits.DIALBACK_RANDOM_BYTES)
        awaited: asyncio.Future[_Arrival] = asyncio.get_running_loop().create_future()
        self._awaited[random] = awaited
        try:
            dialer = await self._ask(contact, random)
            network = smallest_network(self._networks_of, dialer)
            if network in dialers or not are_disjoint(self._networks_of, dialer, contact):
                return Trial.VOID
            dialers.add(network)
            return await self._await_dialback(awaited, dialer.address)
        except (ModswarmError, RemoteError) as error:
            _log.debug("no dial-back by %r: %s", contact, error)
            return Trial.VOID
        finally:
            del self._awaited[random]

    async def _ask(self, contact: Contact, random: bytes) -> Contact:
        """The contact that sent the dial-back, says the one that was asked; raises its error."""
        response = await self._wire.ask(
            contact,
            Method.DIALBACK,
            [random, make_host_filter(self._sent_hosts.known(), random)],
            timeout_s=self._wire.line.limit_s(limits.DIALBACK_S),
            tries=1,
        )
        if response.code != Code.OK:
            raise UnexpectedReply(f"the contact refuses with code {response.code}")
        (packed,) = shape(response.result, bytes)
        # The dialer's key is of no interest here, only where it is.
        return Contact.at(contact.public_key, unpack_address(packed))

    async def _await_dialback(self, awaited: "asyncio.Future[_Arrival]", dialer: Address) -> Trial:
        late_s = self._wire.line.limit_s(limits.DIALBACK_LATE_S)
        await asyncio.wait({awaited}, timeout=late_s)
        if not awaited.done():
            return Trial.MISSED
        arrival = awaited.result()
        if arrival.source.host != dialer.host:  # it has a port of its own
            return Trial.VOID
        return Trial.ARRIVED if arrival.unasked else Trial.FAMILIAR

    def _receive(self, datagram: bytes, source: Address) -> None:
        """Take a dial-back; raises RemoteError for one that no test waits for.

        Only one that a test waits for leaves its host as one that was not heard from: others may
        keep a hole in the NAT open, until their host is forgotten and a test is taken in by it.
        """
        try:
            awaited = self._awaited.get(datagrams.read_dialback(datagram))
            if awaited is None or awaited.done():
                raise UnexpectedReply("a dial-back that was not asked for")
        except RemoteError:
            self._heard_hosts.note(source.host)
            raise
        is_known = source.host in self._sent_hosts or source.host in self._heard_hosts
        awaited.set_result(_Arrival(source, not is_known))
