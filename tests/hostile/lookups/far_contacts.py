"""Contacts of one bucket: in the half of the ids that is not that of a node whose id is zeros."""

from protocol.addresses import Address
from protocol.overlay.contacts import Contact


def far_contact(number: int, host: str) -> Contact:
    """The contact of a number, at this IP literal."""
    address = Address(host, 4001)
    while not (contact := Contact.at(number.to_bytes(32), address)).number >> 159:
        number += 1000
    return contact
