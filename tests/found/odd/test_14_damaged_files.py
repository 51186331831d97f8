"""Files of a home as editors and power failures leave them: taken, or named with the way out."""

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config import load
from node.content.vault.store import Store
from node.environment import Environment
from node.faces.cli import exits
from node.home import Home, holds_identity
from node.links.secure.certificate import load_or_create
from protocol.content.sealing import address_of
from protocol.errors import BadConfig, DiskError, HomeError, LocalError
from tests.identities import SEEDS, give_identities
from tests.node.faces.commands import status_of

TEXT = 'relay = "off"\nlisten = ["127.0.0.1:4007"]\n'
FOREIGN_TAILS = ("final name", "half-written", "Make room", "quotes", "--to")
"""What belongs to other contexts: to a `get`, to a full disk, to a link."""


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        codecs.BOM_UTF8 + TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        codecs.BOM_UTF8,
        b"",
    ],
    ids=["plain", "mark", "crlf", "mark and crlf", "cr", "only a mark", "nothing"],
)
def test_settings_as_editors_write_them(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(data)
    config = load(tmp_path / "config.toml")
    if len(data) > 3:
        assert (config.relay, config.listen) == ("off", ("127.0.0.1:4007",))


@pytest.mark.parametrize(
    ("data", "cause", "way_out"),
    [
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "UTF-16", "Save it as UTF-8"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "UTF-16", "Save it as UTF-8"),
        (TEXT.encode("utf-16-le"), "NUL", "Save it as UTF-8"),
        (b"\0" * 512, "NUL", "move it away"),
        (b'# a\n# caf\xe9\nrelay = "off"\n', "line 2", "Save it as UTF-8"),
        (b"relay = off\n", "in quotes", "move it away"),
        (b"relay\n", "not TOML", "move it away"),
        (b'relay = "of"\n', "relay must be", "move it away"),
        (b"#" * 70000, "larger", "move it away"),
    ],
    ids=["le", "be", "no mark", "nul", "latin-1", "no quotes", "no toml", "wrong", "large"],
)
def test_settings_that_cannot_be_read_name_the_way_out(
    tmp_path: Path, data: bytes, cause: str, way_out: str
) -> None:
    (tmp_path / "config.toml").write_bytes(data)
    with pytest.raises(BadConfig, match=cause) as told:
        load(tmp_path / "config.toml")
    assert way_out in told.value.advice
    assert ("quotes" in str(told.value)) == (cause == "in quotes")


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"zz" * 32, b"00" * 31, b"0" * 2**21])
def test_a_damaged_identity_names_the_way_out_and_its_cost(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "identity.key").write_bytes(damage)
    home = Home.open(tmp_path)
    with pytest.raises(HomeError, match=r"identity\.key is damaged") as told:
        home.identity(Environment().rng)
    home.close()
    assert "Restore it from a copy" in told.value.advice
    assert "new identity" in told.value.advice


def test_an_identity_that_an_editor_saved_with_a_mark_is_the_same_and_secret(
    tmp_path: Path,
) -> None:
    give_identities([tmp_path])
    path = tmp_path / "identity.key"
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    home = Home.open(tmp_path)
    assert home.identity(Environment().rng).seed == SEEDS[0]
    home.close()
    assert holds_identity(path.read_bytes())


@pytest.mark.parametrize("damage", [b"", b"\0" * 20, b"[1]", b"{}", b"[" * 3000, b" " * 2**21])
def test_a_damaged_format_names_the_way_out_which_works(tmp_path: Path, damage: bytes) -> None:
    give_identities([tmp_path / "home"])
    (tmp_path / "home" / "format.json").write_bytes(damage)
    with pytest.raises(HomeError, match=r"format\.json is damaged") as told:
        Home.open(tmp_path / "home")
    assert told.value.advice.startswith("Delete it")
    (tmp_path / "home" / "format.json").unlink()
    Home.open(tmp_path / "home").close()


@pytest.mark.parametrize("damage", [b"", b"\0" * 20, b"[1]", b'{"contacts": [5]}', b"[" * 3000])
def test_damaged_contacts_are_told_and_cost_no_start(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home.open(tmp_path)
    assert home.saved_contacts() == []
    assert caplog.text == ""
    (tmp_path / "contacts.json").write_bytes(damage)
    assert home.saved_contacts() == []
    assert "contacts.json is damaged" in caplog.text
    assert "--bootstrap" in caplog.text
    home.close()


@pytest.mark.parametrize("damage", [b"", b"\0" * 900, b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_certificate_is_made_anew(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "certificate.pem"
    first = load_or_create(path, Environment())
    path.write_bytes(damage)
    assert load_or_create(path, Environment()).fingerprint != first.fingerprint
    assert "is made anew" in caplog.text


def test_a_certificate_that_is_a_folder_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "certificate.pem").mkdir()
    with pytest.raises(DiskError, match="it is a folder") as told:
        load_or_create(tmp_path / "certificate.pem", Environment())
    assert "Remove it" in told.value.advice


def damage_all(index: Path) -> None:
    index.write_bytes(b"no database" * 1000)


def damage_pages(index: Path) -> None:
    """All behind the first page, which a power failure leaves as zeros."""
    data = index.read_bytes()
    index.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


@pytest.mark.parametrize("damage", [damage_all, damage_pages])
def test_a_damaged_index_names_the_way_out_which_works(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    vault = tmp_path / "vault"
    Store(vault).close()
    damage(vault / "index.sqlite")
    with pytest.raises(LocalError, match="damaged") as told:
        Store(vault)
    assert "new links" in told.value.advice
    assert "keeps its identity" in told.value.advice
    vault.rename(tmp_path / "away")
    Store(vault).close()


@pytest.mark.parametrize("damage", [Path.unlink, lambda index: index.write_bytes(b"")])
def test_mods_without_an_index_are_not_thrown_away(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """As a power failure leaves it: a new index would know no pack, and remove them all."""
    vault = tmp_path / "vault"
    store = Store(vault)
    data = b"sealed"
    store.put([(address_of(data), data)])
    store.close()
    for log in vault.glob("index.sqlite-*"):
        log.unlink()
    index = (vault / "index.sqlite").read_bytes()
    damage(vault / "index.sqlite")
    with pytest.raises(HomeError, match="there are mods in the vault") as told:
        Store(vault)
    assert "Restore the vault from a copy" in told.value.advice
    (vault / "index.sqlite").write_bytes(index)
    again = Store(vault)
    assert again.get(address_of(data)) == data
    again.close()


def test_an_index_that_is_a_folder_names_itself_and_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").mkdir()
    (tmp_path / "index.sqlite" / "x").touch()
    with pytest.raises(DiskError, match=r"index\.sqlite: it cannot be opened") as told:
        Store(tmp_path)
    assert "a file that this user may read" in told.value.advice


def test_nobody_is_told_to_remove_the_home_or_the_vault_for_what_is_wrong_in_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(DiskError, match=rf"{tmp_path}/lock: it is a folder"):
        Home.open(tmp_path)
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "packs").touch()
    with pytest.raises(DiskError, match=rf"{tmp_path}/vault/packs: something of that name"):
        Store(tmp_path / "vault")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("config.toml", b"\0" * 9),
        ("identity.key", b"x"),
        ("format.json", b"x"),
        ("vault/index.sqlite", b"x" * 5000),
    ],
)
def test_a_start_that_fails_has_the_words_of_its_own_context(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes
) -> None:
    home = tmp_path / "home"
    give_identities([home])
    (home / "vault").mkdir(exist_ok=True)
    (home / name).write_bytes(data)
    assert status_of("run", "--home", str(home), "--listen", "127.0.0.1:0") != exits.OK
    told = capsys.readouterr().err
    assert name.rpartition("/")[2] in told
    assert not [tail for tail in FOREIGN_TAILS if tail in told]
    assert len(told.strip().splitlines()) == 2  # the cause, and the way out
