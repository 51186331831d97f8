"""Bytes of memory a contact: its place in a table, its keys, its token and its round-trip time."""

import itertools
import json
import random
import sys
import tracemalloc

from protocol import limits
from protocol.addresses import Address, pack_address
from protocol.datagrams import PacketKeys
from protocol.overlay.contacts import Contact
from protocol.overlay.networks import public_networks
from protocol.overlay.routing import RoutingTable
from protocol.overlay.sessions import PeerSession, PeerSessions

_NODES = 20
_NETWORK = 1000
_CACHED = 50_000
_numbers = itertools.count()
_rng = random.Random("memory")


def measure() -> dict[str, float]:
    """Memory of the contacts of nodes that know a network of a thousand, each asked and answered.

    Caches that the whole process shares are bounded, and full before the measuring starts.
    """
    tracemalloc.start()
    for _ in range(_CACHED):
        _new_contact()
    before = tracemalloc.get_traced_memory()[0]
    nodes = [_node() for _ in range(_NODES)]
    grown = tracemalloc.get_traced_memory()[0] - before
    contacts = sum(len(table) for table, _ in nodes)
    return {
        "bytes_per_contact": round(grown / contacts),
        "contacts_per_node": round(contacts / _NODES),
    }


def _node() -> tuple[RoutingTable, PeerSessions]:
    table, sessions = RoutingTable(_rng.randbytes(20)), PeerSessions()
    for number in range(_NETWORK):
        contact = _new_contact()
        if not table.wants(contact):
            continue
        table.answered(contact, float(number))
        session = PeerSession(contact, PacketKeys(_rng.randbytes(32), _rng.randbytes(32)))
        session.measured(0.1 + number / 1000)
        session.learn_token(_rng.randbytes(limits.TOKEN_BYTES), contact, float(number))
        sessions.add(session)
    return table, sessions


def _new_contact() -> Contact:
    """A contact in a network of its own; not from the cache, which would keep it for us."""
    contact = Contact(_rng.randbytes(32) + pack_address(Address(_fresh_host(), 4001)))
    public_networks(contact)
    return contact


def _fresh_host() -> str:
    """A global address in a /24 of its own."""
    number = next(_numbers)
    return f"{11 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.1"


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
