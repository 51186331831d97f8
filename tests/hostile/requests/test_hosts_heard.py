"""Forged sources fill what a node remembers of hosts: it must not think itself public."""

from node.net.recent_hosts import RecentHosts
from protocol import limits

HONEST = "192.0.2.7"


def forge(hosts: RecentHosts, count: int) -> None:
    for number in range(count):
        hosts.note(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")


def test_where_hosts_do_not_fit_none_counts_as_never_heard() -> None:
    hosts = RecentHosts()
    hosts.note("192.0.2.1")
    assert HONEST not in hosts
    forge(hosts, 4 * limits.RECENT_HOSTS)
    assert HONEST in hosts
    assert len(hosts.known()) <= limits.RECENT_HOSTS
    hosts.note(HONEST)
    hosts.begin_generation()
    assert HONEST in hosts, "it was heard, though there was no room to note it"
    hosts.begin_generation()
    assert HONEST not in hosts


def test_a_flood_that_is_over_is_forgotten() -> None:
    hosts = RecentHosts()
    for _ in range(3):
        forge(hosts, 4 * limits.RECENT_HOSTS)
        hosts.begin_generation()
        assert len(hosts.known()) <= limits.RECENT_HOSTS
    hosts.begin_generation()
    assert HONEST not in hosts
    assert not hosts.known()
