"""A node's home folder: its identity, settings, contacts and vault, for one node at a time.

format.json        version of this layout
identity.key       the seed of the identity, hex, mode 0600
config.toml        settings, written by the user
certificate.pem    the DTLS certificate and its key, mode 0600
contacts.json      DHT contacts of the last run
downloads.json     the queue of downloads, with their links, mode 0600
origins.json       which origins of which mods may be asked, mode 0600
control.json       where the running node's control API is, and its token, mode 0600
vault/             chunks and their index
log.txt, log.txt.1 what the node did lately
vault/reserve/     room that is given up where removing a mod or starting needs it
lock, lock.held    held while a node runs; the second where the file system has no locks
"""

import asyncio
import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.disk.lock import FolderLock, LockHeld
from node.disk.refusals import make_folders, make_private
from node.disk.reserve import Reserve
from node.files import PRIVATE_FILE, PRIVATE_FOLDER, write_atomically, writing
from node.machine.control_file import LOCK_FILE, remove_control, write_control
from node.machine.refusals import refused
from protocol import limits
from protocol.content.file_paths import quoted
from protocol.errors import DiskError, HomeError, LocalError, Malformed
from protocol.identity import Identity, find_seed, solves_puzzle
from protocol.overlay.contacts import PACKED_BYTES, Contact
from protocol.randomness import Random

_log = logging.getLogger(__name__)

FORMAT = 1
FORMAT_FILE = "format.json"
LOG_FILE = "log.txt"
_NAMES = (
    *("format.json", "identity.key", "config.toml", "certificate.pem", "contacts.json"),
    *("control.json", "vault", "lock", "lock.held", LOG_FILE, f"{LOG_FILE}.1"),
)
"""What a home may hold before its format is written: its user's settings, or what a killed start
left."""
_LOST_IDENTITY = (
    "Restore it from a copy. If there is none, move it away: the node then makes a new identity, "
    "and friends need its new address; the mods of the home stay, and their links as well."
)
_LOST_FORMAT = "Delete it, and start the node again: it is written anew, and nothing is lost."
_LOST_CONTACTS = (
    "%s is damaged and is written anew once the node has joined; if it finds no node, start it "
    "with --bootstrap"
)
_MAX_FILE_BYTES = 2**20
_SEED_BYTES = 32
_BLANKS_MAX = 8


class Home:
    """An open home folder. Make it by `open`; `close` lets another node use it."""

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self.path = path
        self._lock = lock
        self._reserve = reserve_of(path)

    @classmethod
    def open(cls, path: Path) -> "Home":
        """Make the folder if it is new, lock it, and check its format.

        Raises HomeError, DiskError.
        """
        check_folder(path)
        with writing(path):
            make_folders(path, PRIVATE_FOLDER)
            is_private = make_private(path, PRIVATE_FOLDER)
            try:
                lock = FolderLock.take(path / LOCK_FILE, reserve_of(path))
            except LockHeld as held:
                raise HomeError(_in_use(path, held)) from None
        if not is_private:
            _log.warning(
                "the disk that holds %s keeps no permissions: other users of this computer can "
                "read the node's keys there. A home on another disk (--home) is safe from them",
                path,
            )
        home = cls(path, lock)
        try:
            home._check_format()
            # That of a node that was killed must not be taken for this one's, which is to come.
            home.remove_control()
        except BaseException:
            home.close()
            raise
        return home

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    @property
    def vault(self) -> Path:
        """The folder of the vault."""
        return self.path / "vault"

    @property
    def has_identity(self) -> bool:
        """Whether an identity was made here already."""
        return self._identity_key.exists()

    @property
    def downloads(self) -> Path:
        """The queue of downloads."""
        return self.path / "downloads.json"

    @property
    def origins(self) -> Path:
        """What a person said about the origins of mods."""
        return self.path / "origins.json"

    @property
    def certificate(self) -> Path:
        """The DTLS certificate with its private key."""
        return self.path / "certificate.pem"

    def identity(self, rng: Random, puzzle_bits: int = limits.PUZZLE_BITS) -> Identity:
        """Load the identity, or make one (about 2 s of work); raises HomeError, DiskError."""
        path = self._identity_key
        if not self.has_identity:
            seed = find_seed(rng, puzzle_bits)
            write_atomically(path, seed.hex().encode() + b"\n", PRIVATE_FILE)
        found = _seed_in(_read(path, _LOST_IDENTITY))
        if found is None:
            raise HomeError(
                f"{path} is damaged: it does not hold an identity", advice=_LOST_IDENTITY
            )
        identity = Identity(found)
        if not solves_puzzle(identity.public_key, puzzle_bits):
            raise HomeError(
                f"{path} holds a key that other nodes would refuse", advice=_LOST_IDENTITY
            )
        return identity

    def saved_contacts(self) -> list[Contact]:
        """The contacts of the last run; a damaged file is told and is an empty list."""
        path = self.path / "contacts.json"
        if not path.exists():
            return []
        try:
            texts = _parse(_read(path))["contacts"]
            packed = [bytes.fromhex(text) for text in texts[: limits.CONTACTS_SAVED]]
            return [_saved_contact(one) for one in packed]
        except (LocalError, ValueError, KeyError, TypeError, AttributeError, Malformed):
            _log.warning(_LOST_CONTACTS, path)
            return []

    def save_contacts(self, contacts: list[Contact]) -> None:
        """Keep contacts for the next start; raises DiskError."""
        data = {"format": FORMAT, "contacts": [contact.packed.hex() for contact in contacts]}
        write_atomically(self.path / "contacts.json", json.dumps(data).encode())

    def write_control(self, address: str, token: str) -> None:
        """Write the control API's address and token for the command line; raises DiskError."""
        self._reserve.spending(lambda: write_control(self.path, address, token))

    def remove_control(self) -> None:
        """Remove the address and the token once the control API is closed."""
        try:
            remove_control(self.path)
        except OSError as error:
            # Who reads it sees by the lock that no node runs.
            _log.warning("control.json not removed: %s", error)

    @property
    def _identity_key(self) -> Path:
        return self.path / "identity.key"

    def _check_format(self) -> None:
        path = self.path / FORMAT_FILE
        if not path.exists():
            write_atomically(path, json.dumps({"format": FORMAT}).encode())
            return
        try:
            found: Any = _parse(_read(path, _LOST_FORMAT))["format"]
        except (ValueError, KeyError, TypeError):
            raise HomeError(
                f"{path} is damaged: it does not hold the home's format", advice=_LOST_FORMAT
            ) from None
        if found != FORMAT:
            raise HomeError(
                f"the home {self.path} has format {str(found)[:20]}, and this version of modswarm "
                f"reads format {FORMAT}; use the version that made it, or another home"
            )


def check_folder(path: Path) -> None:
    """Raise HomeError unless `path` is a home, or may become one: missing, or without files.

    Raises DiskError where the disk does not let it be read. Nothing is changed.
    """
    try:
        names = [entry.name for entry in path.iterdir()]
        shared = path.stat().st_mode & stat.S_ISVTX
    except FileNotFoundError:
        return
    except OSError as error:
        kind = HomeError if isinstance(error, NotADirectoryError) else DiskError
        raise refused(error, f"cannot use {path} as a home", kind) from error
    if FORMAT_FILE in names:
        return
    others = [
        name for name in names if name.removeprefix(".").removesuffix(".partial") not in _NAMES
    ]
    if others:
        raise HomeError(
            f"{path} is neither empty nor the home of a node: it holds {quoted(min(others))}; "
            "name a folder of its own for the home"
        )
    if shared and not names:
        raise HomeError(f"{path} is a folder that several users share; a home needs one of its own")


def says_format(path: Path) -> bool:
    """Whether the file at `path` is the format file of some home, of any format."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        told = _parse(_read(path))
    except (OSError, LocalError, ValueError):
        return False
    return isinstance(told, dict) and type(told.get("format")) is int


def identity_seed(path: Path) -> bytes | None:
    """The seed of the identity in the home `path`; None if there is none that can be read."""
    try:
        return _seed_in(_read(path / "identity.key"))
    except LocalError:
        return None


def holds_identity(data: bytes) -> bool:
    """Whether a file that begins with `data` is the `identity.key` of some home."""
    seed = _seed_in(data)
    return seed is not None and solves_puzzle(Identity(seed).public_key, limits.PUZZLE_BITS)


def _seed_in(data: bytes) -> bytes | None:
    if len(data) > 2 * _SEED_BYTES + _BLANKS_MAX:
        return None
    try:
        seed = bytes.fromhex(data.decode("utf-8-sig").strip())
    except ValueError:
        return None
    return seed if len(seed) == _SEED_BYTES else None


def _saved_contact(packed: bytes) -> Contact:
    if len(packed) not in PACKED_BYTES.values():
        raise Malformed(f"a contact of {len(packed)} bytes")
    contact = Contact(packed)
    return Contact.at(contact.public_key, contact.address)


def _parse(data: bytes) -> Any:
    """JSON of unknown origin; raises ValueError, also where it is nested too deep."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _read(path: Path, way_out: str = "") -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise refused(error, f"cannot read {path}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise HomeError(f"{path} is damaged: it is larger than it can be", advice=way_out)
    return data


def _in_use(path: Path, held: LockHeld) -> str:
    sentence = f"another node is running in {path}"
    if held.mark is None:
        return sentence
    return f"{sentence}, on {held.machine}; if none does any more, delete {held.mark}"


class ContactSaving:
    """Keeps contacts in a home for the next start. `contacts` names those of now."""

    def __init__(self, home: Home, contacts: Callable[[], list[Contact]]) -> None:
        self._home = home
        self._contacts = contacts
        self._reserve = reserve_of(home.path)

    async def run(self, joined: asyncio.Event) -> None:
        """Save them regularly once the node has joined, until cancelled."""
        await joined.wait()
        while True:
            self.save()
            await asyncio.sleep(limits.SAVE_CONTACTS_S)

    def save(self) -> None:
        """Save them now, if there are any; a disk that refuses is logged."""
        contacts = self._contacts()
        self._reserve.refill()
        if not contacts:
            return
        try:
            self._home.save_contacts(contacts)
        except LocalError as error:
            _log.warning("contacts not saved: %s", error)


def reserve_of(path: Path) -> Reserve:
    """The reserve of the home `path`."""
    return Reserve(path / "vault" / "reserve")
