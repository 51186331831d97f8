"""Settings: defaults, the file, and what is wrong with either."""

from pathlib import Path

import pytest

from node.config import DEFAULT_PORT, Config, load
from protocol.addresses import Address
from protocol.errors import BadAddress, BadConfig, BadInput

NOWHERE = ("224.0.0.1", "255.255.255.255", "240.0.0.1", "0.1.2.3", "[ff02::1]")


def test_by_default_a_node_listens_on_all_addresses() -> None:
    everywhere = [Address("0.0.0.0", DEFAULT_PORT), Address("::", DEFAULT_PORT)]
    assert Config().listen_addresses() == everywhere
    elsewhere = Config(bootstrap=("127.0.0.1:4001", "192.0.2.1:4001"))
    assert elsewhere.listen_addresses() == everywhere


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_node_whose_bootstraps_are_on_this_machine_stays_there_with_them(host: str) -> None:
    config = Config(bootstrap=(f"{host}:4001",))
    assert config.listen_addresses() == [Address(host.strip("[]"), 0)]


def test_what_was_asked_for_is_what_is_bound() -> None:
    config = Config(listen=("0.0.0.0:5000", "[::]:0"), bootstrap=("127.0.0.1:4001",))
    assert config.listen_addresses() == [Address("0.0.0.0", 5000), Address("::", 0)]


def test_the_command_line_overrules_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('listen = ["127.0.0.1:1"]\nunreachable = true\n')
    config = load(path).with_overrides(listen=("127.0.0.1:2",), bootstrap=(), unreachable=False)
    assert config == Config(listen=("127.0.0.1:2",), unreachable=True)
    assert load(tmp_path / "none.toml") == Config()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lissten = []", "unknown setting 'lissten'"),
        ('listen = "127.0.0.1:1"', "must be a list"),
        ("unreachable = 1", "must be true or false"),
        ("relay = false", 'must be a text in quotes, such as "on" or "off"'),
        ("relay = off", 'a text stands in quotes, as in relay = "off"'),
        ("relay_bytes_a_day = 0", 'relay = "off" relays nothing'),
        ('relay_ports = "224.0.0.1:1-2"\nrelay_secret = "s"', "one machine"),
        *((f'listen = ["{host}:4001"]', "cannot listen there") for host in NOWHERE),
        *((f'listen = ["{host}:0"]', "cannot listen there") for host in NOWHERE),
        ('bootstrap = ["nowhere"]', "bootstrap: not an address of the form host:port"),
        ('listen = ["nowhere"]', "listen: not an address of the form host:port"),
        ('bootstrap = ["127.0.0.1:1/pabcdefgh"]', "bootstrap: the peer id is cut"),
        *(
            (f"{name} = {blank}", f"{name} has an empty text: give H?")
            for name in ("listen", "bootstrap")
            for blank in ('[""]', '["127.0.0.1:1", " "]', '""')
        ),
        *(
            (f'{name} = "{blank}"', f"{name} has an empty text: give ")
            for name in ("relay_ports", "relay_secret")
            for blank in ("", " ", "\\t")
        ),
        *((f'{name} = ""', f"{name} must be one of on") for name in ("relay", "upnp")),
        ('data_path = "teleport"', "data_path"),
        ('limit_up = ""', "limit_up has an empty text: give bytes a second"),
        ("limit_up = 2000000", "limit_up must be a text in quotes: bytes a second"),
        ('limit_up = "0"', "limit_up: .* write off for no limit"),
        ('limit_down = "fast"', "limit_down: 'fast' is no rate"),
        ('limit_down_per_peer = "16Mbit"', "limit_down_per_peer: .* that is 2.0 MB/s"),
        ('limit_up_schedule = "8-23 1M"', "limit_up_schedule: '8-23 1M' is no part of a day"),
        ('limit_down_schedule = " "', "limit_down_schedule has an empty text: give rates by the"),
        ("paths = 0", "from 1 to 8"),
        ("paths = 9", "from 1 to 8"),
        ('listen = ["127.0.0.1:1", "127.0.0.2:1"]', "one address per family"),
        ("listen = [", "not TOML"),
    ],
)
def test_a_bad_file_is_named_with_its_reason(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=complaint) as caught:
        load(path)
    assert isinstance(caught.value, BadConfig | BadAddress)
    assert str(path) in str(caught.value)


def test_relaying_is_configured_and_a_node_that_cannot_be_reached_does_not_relay() -> None:
    config = Config(relay_rate=5, relay_ports="127.0.0.1:5000-5001", relay_secret="s")
    settings = config.relay_settings()
    assert (settings.is_on, settings.rate, len(settings.relayed_addresses())) == (True, 5, 2)
    assert not Config(unreachable=True).relay_settings().is_on
    assert not Config(relay="off").relay_settings().is_on
    for wrong in ({"relay": "maybe"}, {"relay_rate": 0}, {"relay_ports": "127.0.0.1:1-2"}):
        with pytest.raises(BadConfig):
            Config(**wrong)


def test_limits_are_configured_and_an_option_overrules_them(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('limit_up = "2M"\nlimit_up_schedule = "23:00-08:00 off"\nlimit_down = "5M"')
    up = load(path).with_overrides(limit_up="1M", limit_down="off").rate_settings().up
    assert (up.all_peers, up.each_peer, up.schedule.text) == (1_000_000, None, "23:00-08:00 off")
    down = (
        load(path).with_overrides(limit_down="off", limit_down_per_peer="20k").rate_settings().down
    )
    assert (down.all_peers, down.each_peer, bool(down.schedule)) == (None, 20_000, False)
