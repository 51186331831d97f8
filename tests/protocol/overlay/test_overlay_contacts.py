"""Contacts: the bytes in which they travel, and what any bytes may claim to be."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.addresses import Address, unpack_address
from protocol.errors import Malformed, NotUnicast, Oversized
from protocol.identity import peer_id_of, solves_puzzle
from protocol.limits import CONTACTS_PER_REPLY
from protocol.overlay.contacts import PACKED_BYTES, Contact, pack_contacts, unpack_contacts
from tests.hosts import HOSTS

repeatable = settings(deadline=None, derandomize=True)

KEYS = st.binary(min_size=32, max_size=32)
ADDRESSES = st.builds(lambda ip, port: Address(str(ip), port), HOSTS, st.integers(1, 65535))

EVERYTHING = 10**6
"""More room than any contacts need."""


@repeatable
@given(KEYS, ADDRESSES)
def test_a_contact_is_its_key_and_its_address(key: bytes, address: Address) -> None:
    contact = Contact.at(key, address)
    assert len(contact.packed) == PACKED_BYTES[address.family]
    for same in (contact, Contact(contact.packed)):
        assert (same.public_key, same.address, same.family) == (key, address, address.family)
        assert same.peer_id == peer_id_of(key) == hashlib.sha256(key).digest()[:20]
        assert same.number == int(same.peer_id.hex(), 16)
        assert same == contact
        assert hash(same) == hash(contact)


@repeatable
@given(KEYS, st.binary(min_size=6, max_size=6) | st.binary(min_size=18, max_size=18))
def test_a_valid_contact_has_an_address_and_a_key_that_cost_work(key: bytes, where: bytes) -> None:
    contact = Contact(key + where)
    try:
        unpack_address(where)
    except Malformed:
        assert not contact.is_valid(0)
        return
    for bits in (0, 1, 2, 3, 16):
        assert contact.is_valid(bits) == solves_puzzle(key, bits)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "ff02::1", "224.0.0.1", "255.255.255.255"])
def test_a_contact_is_not_valid_unless_it_is_one_machine(host: str) -> None:
    named = Contact.at(bytes(32), Address(host, 4001))
    assert not named.is_valid(0)
    with pytest.raises(NotUnicast):
        _ = named.address


def test_a_contact_differs_by_key_and_by_address() -> None:
    here, there = Address("192.0.2.1", 1), Address("192.0.2.1", 2)
    contact = Contact.at(bytes(32), here)
    assert contact != Contact.at(bytes(32), there)
    assert contact != Contact.at(b"k" * 32, here)
    assert contact != contact.packed
    assert Contact.at(bytes(32), there).peer_id == contact.peer_id


@repeatable
@given(st.lists(st.tuples(KEYS, ADDRESSES), max_size=CONTACTS_PER_REPLY))
def test_contacts_come_back_by_family_and_in_order(pairs: list[tuple[bytes, Address]]) -> None:
    contacts = [Contact.at(key, where) for key, where in pairs]
    packed = pack_contacts(contacts, EVERYTHING)
    for family, data in zip((4, 6), packed, strict=True):
        assert unpack_contacts(data, family) == [one for one in contacts if one.family == family]


@repeatable
@given(st.lists(st.tuples(KEYS, ADDRESSES), max_size=CONTACTS_PER_REPLY), st.integers(0, 1200))
def test_the_first_contacts_are_packed_that_fit(
    pairs: list[tuple[bytes, Address]], room_bytes: int
) -> None:
    contacts = [Contact.at(key, where) for key, where in pairs]
    packed4, packed6 = pack_contacts(contacts, room_bytes)
    assert len(packed4) + len(packed6) <= room_bytes
    sent = len(packed4) // PACKED_BYTES[4] + len(packed6) // PACKED_BYTES[6]
    assert pack_contacts(contacts[:sent], EVERYTHING) == (packed4, packed6)
    if sent < len(contacts):
        used_bytes = len(packed4) + len(packed6)
        assert used_bytes + PACKED_BYTES[contacts[sent].family] > room_bytes


@repeatable
@given(st.binary(max_size=1200), st.sampled_from((4, 6)))
def test_any_bytes_are_contacts_or_malformed(data: bytes, family: int) -> None:
    try:
        contacts = unpack_contacts(data, family)
    except Malformed:
        assert len(data) % PACKED_BYTES[family] or len(data) > 20 * PACKED_BYTES[family]
        return
    assert pack_contacts(contacts, EVERYTHING)[0 if family == 4 else 1] == data
    for contact in contacts:
        assert contact.family == family
        assert "Contact" in repr(contact)  # a log line never fails
        try:
            assert contact.address.family == family
        except Malformed:
            continue


def test_a_reply_names_twenty_contacts_at_most() -> None:
    for family, size in PACKED_BYTES.items():
        assert len(unpack_contacts(bytes(CONTACTS_PER_REPLY * size), family)) == CONTACTS_PER_REPLY
        with pytest.raises(Oversized):
            unpack_contacts(bytes((CONTACTS_PER_REPLY + 1) * size), family)
        for wrong in (1, size - 1, size + 1):
            with pytest.raises(Malformed):
                unpack_contacts(bytes(wrong), family)


def test_an_impossible_address_is_malformed_when_it_is_used() -> None:
    nowhere = Contact(b"k" * 32 + b"\x01\x02\x03\x04\x00\x00")
    mapped = Contact(b"k" * 32 + bytes(10) + b"\xff\xff\x01\x02\x03\x04\x00\x50")
    for contact in (nowhere, mapped):
        with pytest.raises(Malformed):
            _ = contact.address
        assert contact.peer_id.hex()[:8] in repr(contact)
