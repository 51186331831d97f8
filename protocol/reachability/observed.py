"""The addresses at which contacts see this node, and what they tell about the NAT on the way.

Each contact's network has one voice, its latest: many contacts of one network cannot outvote
others, nor can a few that lie (RFC 5780, 4.3 compares two servers; here they are not trusted).

Contacts choose when this node asks them, by asking it themselves. So what they say against an
address that is agreed on only casts doubt on it: this node then asks networks of its own choice,
and what they see from then on is all that counts.
"""

import itertools
import math
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from protocol import limits
from protocol.addresses import Address
from protocol.reachability.network_view import MappingKind, PortSample, ReflexiveAddress

_PORTS = 1 << 16


def quorum(asked: int) -> int:
    """How many of the networks asked must have answered before their answers decide."""
    return max(limits.OBSERVERS_MIN, (asked + 1) // 2)


class _Voice(NamedTuple):
    """What one network saw when it got what was sent at `sent_at`."""

    address: Address
    sent_at: float


class ObservedAddresses:
    """What contacts saw of one address family; `bound_port` is the socket's own.

    Times are monotonic seconds at which the datagrams left that were seen.
    """

    def __init__(self, bound_port: int) -> None:
        self._bound_port = bound_port
        # The voice heard last is the last one; the empty network is that of private contacts.
        self._voices: dict[bytes, _Voice] = {}
        self._samples: dict[int, float] = {}
        self._ports: dict[int, None] = {}
        """All ports that were seen: one that is seen again is of a mapping made before."""
        self.changed_at = 0.0
        """When the first datagram left that was seen elsewhere than all those before it."""
        self._chosen: frozenset[bytes] = frozenset()
        self._chosen_at = -math.inf
        self._contradicted = False
        self._was_agreed = False
        self.agreed: Address | None = None
        """The address that two thirds of the networks see that count, and at least OBSERVERS_MIN.

        Those count that were chosen last; all, as long as none were.
        """

    def note(
        self, network: bytes, observed: Address, sent_at: float, mapped_at: float | None = None
    ) -> bool:
        """A contact in this network saw us at `observed`; whether that is news.

        `mapped_at`: when the first datagram left that made the NAT map, where that was an earlier
        one, which got no answer.
        """
        known = self._voices.get(network)
        is_news = known is None or known.address != observed
        if is_news and known is not None and known.address == self.agreed:
            self.changed_at = sent_at
        self._voices.pop(network, None)
        self._voices[network] = _Voice(observed, sent_at)
        if len(self._voices) > limits.OBSERVERS_REMEMBERED:
            del self._voices[next(iter(self._voices))]
        is_asked = network in self._chosen and (known is None or known.sent_at < self._chosen_at)
        if network and (is_news or is_asked):
            self._count()
        if network and is_news:
            self._contradicted |= self.agreed not in (None, observed)
            self._note_port(observed.port, sent_at if mapped_at is None else mapped_at)
        return is_news

    def choose(self, networks: Collection[bytes], now: float) -> None:
        """This node asks contacts in these networks: only what they see from now on counts.

        Too few networks to agree on anything leave nothing agreed on.
        """
        self._contradicted, self._was_agreed = False, self.agreed is not None
        if len(networks) < limits.OBSERVERS_MIN:
            self._was_agreed, self.agreed = False, None
        else:
            self._chosen, self._chosen_at = frozenset(networks), now

    def forget(self) -> None:
        """This machine is somewhere else now."""
        self._voices.clear()
        self._samples.clear()
        self._ports.clear()
        self._chosen, self._chosen_at = frozenset(), -math.inf
        self._contradicted = self._was_agreed = False
        self.agreed = None

    # Addresses ------------------------------------------------------------------------------

    @property
    def is_doubted(self) -> bool:
        """Whether to choose networks and ask them, since one no longer sees what was agreed on.

        That remains so until enough of the chosen ones have answered, and agree; where they do not,
        others are asked once more. A NAT that gives each contact another port is no doubt.
        """
        too_few = len(self._counting()) < quorum(len(self._chosen))
        is_open = self._was_agreed and (too_few or self.agreed is None)
        return self._contradicted or is_open

    def _count(self) -> None:
        counting = self._counting()
        if len(counting) < quorum(len(self._chosen)):
            return
        address, votes = Counter(counting).most_common(1)[0]
        agree = votes >= max(limits.OBSERVERS_MIN, limits.OBSERVERS_AGREE * len(counting))
        if agree and self.agreed != address:
            self._contradicted = False
        self.agreed = address if agree else None

    def _counting(self) -> list[Address]:
        """What the networks see whose voices count."""
        return [
            voice.address
            for network, voice in self._voices.items()
            if network
            and voice.sent_at >= self._chosen_at
            and (network in self._chosen or not self._chosen)
        ]

    @property
    def is_on_internet(self) -> bool:
        """Whether a contact with a global address has seen this node lately."""
        return bool(self._public_voices())

    @property
    def is_seen(self) -> bool:
        """Whether any contact has seen this node here."""
        return bool(self._voices)

    def is_mapped(self, own_hosts: Collection[str]) -> bool:
        """Whether most see a host address that this machine does not have."""
        host = self._host()
        return host is not None and host not in own_hosts

    def reflexive(self, own_hosts: Collection[str]) -> tuple[ReflexiveAddress, ...]:
        """Where others see this node, if a NAT gave it that address: at most one now."""
        if not self.is_mapped(own_hosts):
            return ()
        if (agreed := self.agreed) is not None:
            return (ReflexiveAddress(agreed, True),)
        host = self._host()
        seen = [voice.address for voice in self._heard() if voice.address.host == host]
        return (ReflexiveAddress(seen[-1], False),)

    def _host(self) -> str | None:
        """The host address that most networks see, of several the one seen last."""
        hosts = [voice.address.host for voice in reversed(self._heard())]
        return Counter(hosts).most_common(1)[0][0] if hosts else None

    def _heard(self) -> list[_Voice]:
        """The voices of public networks; where there are none, that of private contacts."""
        return self._public_voices() or list(self._voices.values())

    def _public_voices(self) -> list[_Voice]:
        newest = next(reversed(self._voices.values()), None)
        if newest is None:
            return []
        old = newest.sent_at - limits.OBSERVED_S
        return [voice for key, voice in self._voices.items() if key and voice.sent_at >= old]

    # The NAT --------------------------------------------------------------------------------

    def mapping(self, own_hosts: Collection[str]) -> MappingKind:
        """How the NAT maps.

        UNKNOWN until OBSERVERS_MIN networks have seen this node, and while one contradicts the
        others, which are too few to agree on anything without it.
        """
        if len(self._public_voices()) < limits.OBSERVERS_MIN:
            return MappingKind.UNKNOWN
        if not self.is_mapped(own_hosts):
            return MappingKind.NONE
        if self.agreed is not None:
            return MappingKind.ENDPOINT_INDEPENDENT
        if self._all_but_one_agree():
            return MappingKind.UNKNOWN
        return MappingKind.SEQUENTIAL if self.port_step else MappingKind.ENDPOINT_DEPENDENT

    def _all_but_one_agree(self) -> bool:
        """Whether one voice alone contradicts all others: a liar's, or that of a new mapping."""
        seen = Counter(voice.address for voice in self._public_voices())
        return max(seen.values()) >= seen.total() - 1

    @property
    def port_preserved(self) -> bool:
        """Whether the address has the socket's own port; or most have, that were seen."""
        if (agreed := self.agreed) is not None:
            return agreed.port == self._bound_port
        ports = [voice.address.port for voice in self._heard()]
        return 2 * ports.count(self._bound_port) > len(ports)

    @property
    def port_step(self) -> int:
        """The distance of the ports of mappings made one after the other; 0: they do not follow.

        Mappings of others behind the same NAT lie between ours, so steps are multiples of it.
        """
        steps = self._steps()
        close = [step for step, _ in steps if 0 < step <= limits.PORT_STEP_SEEN_MAX]
        if len(close) < limits.PORT_STEPS_MIN or len(close) < limits.OBSERVERS_AGREE * len(steps):
            return 0
        if self._goes_back():
            return 0
        return math.gcd(*close)

    def last_sample(self) -> PortSample | None:
        """The port of the newest mapping, and how fast others make mappings."""
        if not self._samples:
            return None
        at = max(self._samples.values())
        newest = [port for port, made_at in self._samples.items() if made_at == at]
        # Of mappings made at one moment the one farthest ahead is the last.
        port = max(newest, key=lambda one: (one - newest[0] + _PORTS // 2) % _PORTS)
        return PortSample(port, at, self._foreign_rate())

    def _foreign_rate(self) -> float:
        step = self.port_step
        close = [one for one in self._steps() if 0 < one[0] <= limits.PORT_STEP_SEEN_MAX]
        took_s = sum(gap_s for _, gap_s in close)
        if not step or took_s <= 0:
            return 0.0
        return sum(distance // step - 1 for distance, _ in close) / took_s

    def _steps(self) -> list[tuple[int, float]]:
        """From each mapping to the next made soon after: the ports' distance, and the time."""
        in_order = sorted((at, port) for port, at in self._samples.items())
        return [
            ((port - earlier_port) % _PORTS, at - earlier_at)
            for (earlier_at, earlier_port), (at, port) in itertools.pairwise(in_order)
            if at - earlier_at <= limits.PORT_STEP_S
        ]

    def _goes_back(self) -> bool:
        """Whether later mappings often have lower ports: then they are drawn, from a small block.

        Of mappings made at one moment the order is not known, so the ports of one moment are
        compared with those of the next.
        """
        moments: dict[float, list[int]] = {}
        for port, at in self._samples.items():
            moments.setdefault(at, []).append(port)
        turns = [
            (min(moments[later]) - max(moments[earlier])) % _PORTS > _PORTS // 2
            for earlier, later in itertools.pairwise(sorted(moments))
            if later - earlier <= limits.PORT_STEP_S
        ]
        return sum(turns) > limits.PORT_STEPS_BACK * len(turns)

    def _note_port(self, port: int, mapped_at: float) -> None:
        """Keep the port of a new mapping: two contacts of one network show theirs in turn."""
        if port in self._ports:
            return
        self._ports[port] = None
        if len(self._ports) > limits.PORTS_REMEMBERED:
            del self._ports[next(iter(self._ports))]
        self._samples[port] = mapped_at
        if len(self._samples) > limits.PORT_SAMPLES:
            del self._samples[next(iter(self._samples))]
