"""The filter of hosts sent to."""

import json
from pathlib import Path

from protocol import limits
from protocol.reachability.host_filter import holds, make_host_filter

SALT = bytes(range(16))
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "messages.json").read_text())


def hosts(first: int, count: int) -> list[str]:
    return [f"11.{number // 256}.{number % 256}.9" for number in range(first, first + count)]


def test_golden_filter() -> None:
    (told,) = (one for one in VECTORS["requests"] if one["name"] == "dialback, with token")
    assert (
        make_host_filter(["192.0.2.7", "198.51.100.9"], SALT).hex() == told["arguments"][1]["hex"]
    )


def test_what_is_in_it_is_found_and_little_else() -> None:
    inside = [*hosts(0, limits.HOST_FILTER_HOSTS - 1), "2a00::7"]
    made = make_host_filter(inside, SALT)
    assert len(made) == limits.HOST_FILTER_BYTES
    assert all(holds(made, host, SALT) for host in inside)
    wrong = sum(holds(made, host, SALT) for host in hosts(1000, 3000))
    assert wrong < 1200
    other = make_host_filter(inside, bytes(16))
    both = sum(
        holds(made, host, SALT) and holds(other, host, bytes(16)) for host in hosts(1000, 3000)
    )
    assert both < wrong / 2


def test_too_many_hosts_are_left_out() -> None:
    assert make_host_filter(hosts(0, limits.HOST_FILTER_HOSTS + 1), SALT) == b""
    assert not holds(make_host_filter([], SALT), "11.0.0.9", SALT)
