"""Cookies: for one key at one address of one node, and not for long."""

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.proofs import Cookies, proof_of_address

HERE, THERE = Address("192.0.2.1", 4001), Address("192.0.2.1", 4002)
KEY, OTHER_KEY = bytes(32), bytes(31) + b"\1"
PERIOD_S = limits.TOKEN_PERIOD_S


def test_a_cookie_is_for_one_key_at_one_address_of_one_node() -> None:
    cookies = Cookies(b"s" * 32)
    cookie = cookies.make(KEY, HERE, 1000.0)
    assert len(cookie) == limits.COOKIE_BYTES
    assert cookies.proves(cookie, KEY, HERE, 1000.0)
    assert not cookies.proves(cookie, OTHER_KEY, HERE, 1000.0)
    assert not cookies.proves(cookie, KEY, THERE, 1000.0)
    assert not Cookies(b"t" * 32).proves(cookie, KEY, HERE, 1000.0)
    assert not cookies.proves(bytes(limits.COOKIE_BYTES), KEY, HERE, 1000.0)


def test_a_cookie_lives_through_its_period_and_the_next() -> None:
    cookies = Cookies(b"s" * 32)
    cookie = cookies.make(KEY, HERE, PERIOD_S * 2.5)
    assert cookies.proves(cookie, KEY, HERE, PERIOD_S * 3.9)
    assert not cookies.proves(cookie, KEY, HERE, PERIOD_S * 4.0)
    assert not cookies.proves(cookie, KEY, HERE, PERIOD_S * 1.9)


def test_one_secret_serves_two_purposes_without_mixing_them() -> None:
    token, cookie = (
        proof_of_address(b"s" * 32, purpose, 16, KEY, HERE, 3)
        for purpose in (b"modswarm/token", b"modswarm/cookie")
    )
    assert token != cookie
