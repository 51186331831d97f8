"""Bytes of memory a contact: its place in a table, its keys, its token and its round-trip time."""

import itertools
import json
import random
import sys
import tracemalloc

from protocol import limits
from protocol.addresses import Address
from protocol.datagrams import PacketKeys
from protocol.overlay.contacts import Contact
from protocol.overlay.routing import RoutingTable
from protocol.overlay.sessions import Session, Sessions

_CONTACTS = 2000
_CACHED = 10_000
_numbers = itertools.count()
_rng = random.Random("memory")


def measure() -> dict[str, float]:
    """Memory of contacts that were asked and have answered.

    Caches that the whole process shares are bounded, and full before the measuring starts.
    """
    tracemalloc.start()
    _fill(_CACHED)
    before = tracemalloc.get_traced_memory()[0]
    kept = _fill(_CONTACTS)
    grown = tracemalloc.get_traced_memory()[0] - before
    if len(kept[0]) != _CONTACTS:
        raise RuntimeError(f"{len(kept[0])} of {_CONTACTS} contacts in the table")
    return {"bytes_per_contact": round(grown / _CONTACTS)}


def _fill(count: int) -> tuple[RoutingTable, Sessions]:
    table = RoutingTable(_rng.randbytes(20), k=count)
    sessions = Sessions(count)
    for number in range(count):
        contact = Contact.at(_rng.randbytes(32), Address(_fresh_host(), 4001))
        table.answered(contact, float(number))
        session = Session(contact, PacketKeys(_rng.randbytes(32), _rng.randbytes(32)))
        session.measured(0.1 + number / 1000)
        session.learn_token(_rng.randbytes(limits.TOKEN_BYTES), contact, float(number))
        sessions.add(session)
    return table, sessions


def _fresh_host() -> str:
    """A global address in a /24 of its own."""
    number = next(_numbers)
    return f"{11 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.1"


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
