"""What lies in the home of a node is never shared and never a target, by whatever name."""

import asyncio
import base64
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from node.content.assemble.tree import checked_target
from node.content.homes import HomeGuard
from node.content.publish import reading, walk
from node.content.publish.publisher import Publisher
from node.content.vault import index
from node.content.vault.schema import holds_schema
from node.content.vault.vault import Vault
from node.disk.descent import Descent
from node.environment import Environment
from node.home import Home
from protocol.addresses import Address
from protocol.content.lineage.export import LineageExport
from protocol.errors import UnsafePath
from protocol.overlay.contacts import Contact
from tests.node.content.content_nodes import lineages_of, write_files
from tests.node.content.homes import TOKEN, made_home

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links are made the POSIX way")

SECRETS = ("identity.key", "certificate.pem", "control.json", "config.toml", "vault/index.sqlite")


def everything(home: Path) -> list[Path]:
    return [home, *(path for path in home.rglob("*") if path.is_file() or any(path.iterdir()))]


def read(shared: Path, guard: HomeGuard) -> dict[str, bytes]:
    """What would be shared, by file path."""
    found, read = walk.walk(shared, guard), {}
    with Descent(found.root) as descent:
        for file in found.files:
            with reading.opened(file, descent) as opened:
                read[file.path] = b"".join(opened.pieces(2**20, guard.secrets()))
    return read


async def test_nothing_of_a_home_is_shared(tmp_path: Path) -> None:
    own, other = await made_home(tmp_path / "own"), await made_home(tmp_path / "other", 1)
    guard = HomeGuard(own)
    for home in (own, other):
        write_files(home, {"mods/hats/a": b"1"})
        for path in everything(home):
            with pytest.raises(UnsafePath, match="home of a node"):
                walk.walk(path, guard)


async def test_nothing_of_a_home_is_a_target(tmp_path: Path) -> None:
    own, other = await made_home(tmp_path / "own"), await made_home(tmp_path / "other", 1)
    (tmp_path / "short").symlink_to(other / "vault")
    guard = HomeGuard(own)
    names = ["config.toml", "new", "a/b/c", "vault/new", "vault/packs/new", "vault/packs"]
    for target in [home / name for home in (own, other) for name in names]:
        with pytest.raises(UnsafePath, match="where nothing is written"):
            checked_target(target, guard)
    for target in (tmp_path / "short" / "new", other, other / "vault", own):
        with pytest.raises(UnsafePath, match="where nothing is written"):
            checked_target(target, guard)
    assert checked_target(tmp_path / "out", guard) == tmp_path / "out"


async def test_a_folder_around_a_home_is_not_shared(tmp_path: Path) -> None:
    for number, deep in enumerate(("a/.local/share/modswarm", "a/b")):
        home = await made_home(tmp_path / str(number) / deep, number)
        write_files(tmp_path / str(number), {"mod/x": b"1"})
        for guard in (HomeGuard(home), HomeGuard(tmp_path / "another")):
            for shared in (tmp_path / str(number), home.parent):
                with pytest.raises(UnsafePath, match="home of a node"):
                    walk.walk(shared, guard)
            assert walk.walk(tmp_path / str(number) / "mod", guard).files


async def test_no_vault_alone_and_no_home_before_it_has_one_is_shared(tmp_path: Path) -> None:
    home = await made_home(tmp_path / "home")
    guard = HomeGuard(tmp_path / "another")
    (tmp_path / "copy").mkdir()
    (home / "vault").rename(tmp_path / "copy" / "kept")
    for shared in (home, tmp_path / "copy", tmp_path / "copy" / "kept"):
        with pytest.raises(UnsafePath, match="home of a node"):
            walk.walk(shared, guard)


async def test_links_lead_into_no_home(tmp_path: Path) -> None:
    own, other = await made_home(tmp_path / "own"), await made_home(tmp_path / "other", 1)
    for number, home in enumerate((own, other)):
        (tmp_path / f"to{number}").symlink_to(home)
        (tmp_path / f"key{number}").symlink_to(home / "identity.key")
        for shared in (tmp_path / f"to{number}", tmp_path / f"key{number}"):
            with pytest.raises(UnsafePath, match="home of a node"):
                walk.walk(shared, HomeGuard(own))


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize("secret", SECRETS)
async def test_no_second_name_of_a_secret_is_shared(
    tmp_path: Path, secret: str, is_own: bool
) -> None:
    """The own home's by device and inode, those of others by what they hold."""
    home = await made_home(tmp_path / "home")
    guard = HomeGuard(home if is_own else tmp_path / "another")
    (tmp_path / "mod").mkdir()
    (tmp_path / "mod" / "innocent.txt").hardlink_to(home / secret)
    for shared in (tmp_path / "mod", tmp_path / "mod" / "innocent.txt"):
        with pytest.raises(UnsafePath):
            read(shared, guard)


async def test_a_pack_by_another_name_is_not_shared(tmp_path: Path) -> None:
    home = await made_home(tmp_path / "home")
    write_files(home, {"vault/packs/00000001.pack": b"sealed"})
    (tmp_path / "mod").mkdir()
    (tmp_path / "mod" / "x").hardlink_to(home / "vault/packs/00000001.pack")
    with pytest.raises(UnsafePath):
        walk.walk(tmp_path / "mod", HomeGuard(home))


@pytest.mark.parametrize("name", ["index.sqlite", "index.sqlite-wal"])
async def test_the_index_of_a_running_vault_is_not_shared(tmp_path: Path, name: str) -> None:
    """Its write-ahead log has the content keys of mods, and not each page that was ever written."""
    vault = await Vault.open(tmp_path / "a" / "vault")
    environment = Environment(rng=random.Random(1))
    publisher = Publisher(
        vault,
        environment,
        HomeGuard(tmp_path / "a"),
        lineages_of(vault, environment),
    )
    write_files(tmp_path / "hats", {"x": random.Random(1).randbytes(300_000)})
    for number in range(80):  # beyond an automatic checkpoint, which begins the log anew
        await publisher.publish(tmp_path / "hats", f"hats {number}")
        log = (tmp_path / "a" / "vault" / "index.sqlite-wal").read_bytes()
        assert holds_schema(log)
    data = (tmp_path / "a" / "vault" / name).read_bytes()
    mods = await vault.mods()
    await vault.close()
    if name.endswith("-wal"):
        assert int.from_bytes(log[12:16]) > 0, "no checkpoint was made"
        assert any(mod.content_key in log for mod in mods if mod.content_key)
    shapes = (data, bytes(2**20 - 30) + data, b"a tar archive" + data + bytes(2**20))
    for number, shape in enumerate(shapes):
        write_files(tmp_path / str(number), {"a.dat": shape})
        with pytest.raises(UnsafePath, match="holds the index of a node's vault"):
            read(tmp_path / str(number), HomeGuard(tmp_path / "another"))


def test_databases_of_mods_are_shared_with_their_logs(tmp_path: Path) -> None:
    (tmp_path / "mod").mkdir()
    database = sqlite3.connect(tmp_path / "mod" / "save.sqlite")
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE words (word TEXT)")
        database.execute("INSERT INTO words VALUES ('CREATE TABLE lineage_chunks')")
        database.commit()
        (tmp_path / "mod" / "index.py").write_bytes(Path(index.__file__).read_bytes())
        assert len(read(tmp_path / "mod", HomeGuard(tmp_path / "home"))) == 4
    finally:
        database.close()


async def test_no_second_name_of_anything_in_a_home_in_reach_is_shared(tmp_path: Path) -> None:
    """Those beside this node's home, and the user's default one with those beside it."""
    own = tmp_path / "own" / "A"
    homes = [
        await made_home(tmp_path / "own" / "B"),
        await made_home(tmp_path / "data" / "modswarm", 1),
        await made_home(tmp_path / "data" / "other", 2),
    ]
    guard = HomeGuard(own, tmp_path / "data" / "modswarm")
    for number, home in enumerate(homes):
        (home / "log.txt").write_text("a line\n")
        for file in (one for one in home.rglob("*") if one.is_file()):
            mod = tmp_path / f"mod{number}-{file.name}"
            mod.mkdir()
            (mod / "x").hardlink_to(file)
            for shared in (mod, mod / "x"):
                with pytest.raises(UnsafePath):
                    walk.walk(shared, guard)
            with pytest.raises(UnsafePath):
                checked_target(mod / "x", guard)


async def test_a_copy_of_contacts_is_not_shared(tmp_path: Path) -> None:
    home = await made_home(tmp_path / "home")
    home_of = Home.open(home)
    home_of.save_contacts([Contact.at(bytes(32), Address("192.0.2.1", 4001))])
    home_of.close()
    write_files(tmp_path / "mod", {"x.json": (home / "contacts.json").read_bytes()})
    with pytest.raises(UnsafePath, match="holds the contacts of a node"):
        read(tmp_path / "mod", HomeGuard(tmp_path / "elsewhere" / "another"))


def _der(home: Path) -> bytes:
    return load_pem_private_key((home / "certificate.pem").read_bytes(), None).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )


def _sec1(home: Path) -> bytes:
    return load_pem_private_key((home / "certificate.pem").read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )


DISGUISES: dict[str, Callable[[Path], bytes]] = {
    "a comment before the identity": lambda home: (
        b"# my key\n" + (home / "identity.key").read_bytes()
    ),
    "the identity in capitals": lambda home: (home / "identity.key").read_bytes().upper(),
    "the identity in two lines": lambda home: (
        (home / "identity.key").read_bytes()[:32]
        + b"\r\n"
        + (home / "identity.key").read_bytes()[32:]
    ),
    "the identity, raw": lambda home: bytes.fromhex((home / "identity.key").read_text()),
    "the identity after much else": lambda home: (
        bytes(2**15) + (home / "identity.key").read_bytes() + bytes(2**20)
    ),
    "the private key alone": lambda home: (
        (home / "certificate.pem").read_bytes().partition(b"-----BEGIN CERT")[0]
    ),
    "the private key, wrapped otherwise": lambda home: (
        b"-----BEGIN PRIVATE KEY-----\n"
        + base64.b64encode(_der(home))
        + b"\n-----END PRIVATE KEY-----"
    ),
    "the private key after the certificate": lambda home: b"".join(
        (home / "certificate.pem").read_bytes().partition(b"-----BEGIN CERT")[at]
        for at in (1, 2, 0)
    ),
    "the private key as OpenSSL had it": _sec1,
    "the private key in DER": _der,
    "a newline before control.json": lambda home: b"\n" + (home / "control.json").read_bytes(),
    "the token alone": lambda home: TOKEN.encode(),
}


@pytest.mark.parametrize("disguise", DISGUISES)
async def test_a_secret_of_this_node_is_known_in_other_forms(tmp_path: Path, disguise: str) -> None:
    home = await made_home(tmp_path / "home")
    write_files(tmp_path / "mod", {"x": DISGUISES[disguise](home), "y": b"1"})
    with pytest.raises(UnsafePath, match="must stay with its node"):
        read(tmp_path / "mod", HomeGuard(home))


def test_the_exported_keys_of_a_mod_are_not_shared(tmp_path: Path) -> None:
    """They do not tell of which node they are, and all who have them publish the next version."""
    text = str(LineageExport("hats", bytes(32), bytes(range(32)), None))
    lines = "\n".join(text[at : at + 72] for at in range(0, len(text), 72))
    for written in (text, f"Keep this!\n{lines}\n", text.upper()):
        source = write_files(tmp_path / "mod", {"notes.txt": written.encode(), "y": b"1"})
        with pytest.raises(UnsafePath, match="the keys of a mod"):
            read(source, HomeGuard(tmp_path / "home"))
    told = {"notes.txt": b"modswarm-lineage: is how the keys of a mod begin, see modswarm-lineage:"}
    assert read(write_files(tmp_path / "other", told), HomeGuard(tmp_path / "home")) == told


async def test_what_stands_for_another_value_is_shared(tmp_path: Path) -> None:
    """Hashes, and keys of other programs, beside secrets of this node."""
    home = await made_home(tmp_path / "home")
    key = (await made_home(tmp_path / "other", 1) / "certificate.pem").read_bytes()
    files = {
        "sums.txt": b"".join(b"%064x  file\n" % number for number in range(2000)),
        "key.pem": key.partition(b"-----BEGIN CERT")[0],
        "bad.pem": b"-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----\n",
    }
    assert read(write_files(tmp_path / "mod", files), HomeGuard(home)) == files


@pytest.mark.parametrize("kind", ["certificate.pem", "control.json", "identity.key"])
async def test_a_home_with_a_damaged_secret_shares_what_is_none(tmp_path: Path, kind: str) -> None:
    home = await made_home(tmp_path / "home")
    for damaged in (b"", b"\xff" * 100, b'{"address": "", "token": "x"}'):
        (home / kind).write_bytes(damaged)
        files = {"x": b"1"}
        assert read(write_files(tmp_path / "mod", files), HomeGuard(home)) == files


def test_files_that_only_look_a_little_alike_are_shared(tmp_path: Path) -> None:
    files = {
        "identity.key": b"no key",
        "hash.txt": b"0" * 64 + b"\n",
        "notes.pem": b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n",
        "mod.json": b'{"format": 1, "name": "hats"}',
        "config.toml": b"# relay_secret is not set\n",
        "save.sqlite": b"SQLite format 3\0" + bytes(100),
        "vaults/index.sqlite": b"",
        "locks/packs": b"",
    }
    assert read(write_files(tmp_path / "mod", files), HomeGuard(tmp_path / "home")) == files


BOUND = """
import subprocess, sys
from pathlib import Path
from node.content.assemble.tree import checked_target
from node.content.homes import HomeGuard
from node.disk.descent import Descent
from node.content.publish import reading, walk
from node.content.publish.publisher import Publisher
from node.content.vault import index
from node.content.vault.schema import holds_schema
from protocol.addresses import Address
from protocol.errors import UnsafePath
from protocol.overlay.contacts import Contact

home, place, other = map(Path, sys.argv[1:])
subprocess.run(["mount", "--bind", home, place], check=True)
guard = HomeGuard(other)
for refused, path in ((walk.walk, place), (checked_target, place / "new")):
    try:
        refused(path, guard)
    except UnsafePath:
        print("refused")
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")
@pytest.mark.parametrize("part", ["", "vault", "vault/packs"])
def test_a_bind_mount_of_a_home_is_that_home(tmp_path: Path, part: str) -> None:
    home, place = asyncio.run(made_home(tmp_path / "home")), tmp_path / "elsewhere"
    write_files(home, {"vault/packs/00000001.pack": b"sealed"})
    place.mkdir()
    for guarded in (home, tmp_path / "another") if part != "vault/packs" else (home,):
        command = [sys.executable, "-c", BOUND, str(home / part), str(place), str(guarded)]
        done = subprocess.run(
            ["unshare", "--mount", *command], capture_output=True, text=True, check=False
        )
        if done.stderr.startswith("unshare: "):
            pytest.skip("this user may make no mount namespace")
        assert done.stdout == "refused\nrefused\n", done.stderr
