"""An update that has begun, and is carried out or taken back: at once, or after a process died.

The vault says which way it goes. A plan that is not the one that the vault knows is passed over.
"""

import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

from node.content.targets.held_open import is_busy
from node.content.targets.plan import PLAN_BYTES, Heading, UpdatePlan
from node.content.targets.staging import Staging
from node.content.targets.swap import Swap
from node.content.targets.target_tree import TargetTree
from node.content.vault.stored_target import StoredTarget
from node.content.vault.vault import Vault
from node.disk.descent import is_plain_folder
from node.machine.refusals import refused
from node.tasks import in_thread
from protocol.content.file_paths import quoted
from protocol.errors import LocalError, ModswarmError, TargetBusy, TargetGone

_log = logging.getLogger(__name__)


class BegunUpdate:
    """An update of `target` with a plan that the vault knows."""

    def __init__(self, vault: Vault, target: Path, plan: UpdatePlan, encoded: bytes) -> None:
        self._vault = vault
        self._target = target
        self._plan = plan
        self._encoded = encoded
        self._swap = Swap(TargetTree(target), Staging(target), plan)

    async def begin(self) -> None:
        """From here on it is carried out, or taken back. Raises DiskError."""
        await self._go(Heading.FORWARD)

    async def _go(self, direction: Heading) -> None:
        mark = direction.mark(self._encoded)
        await self._vault.record(lambda tables: tables.targets.plan(self._target, mark))

    async def carry_out(self) -> tuple[str, ...]:
        """Let the target have the new version; returns the names of what was kept of a person's.

        Raises TargetBusy or DiskError once the target has the version before again, or with a note
        if that could not be done yet.
        """
        with self._closed_if_it_fails():
            try:
                await in_thread(self._swap.forward)
            except OSError as error:
                problem = self._problem(error)
                try:
                    await self.take_back()
                except LocalError as worse:
                    problem.add_note(f"the folder is between two versions for now: {worse}")
                raise problem from error
            mod_id, packed = self._plan.mod_id, await in_thread(self._plan.tree.packed)
            await self._vault.record(
                lambda tables: tables.targets.put(self._target, mod_id, packed)
            )
        await self._clear()
        return self._swap.kept_local

    async def take_back(self) -> None:
        """Let the target have the version before; raises DiskError if that cannot be done yet."""
        with self._closed_if_it_fails():
            await self._go(Heading.BACK)
            try:
                await in_thread(self._swap.back)
            except OSError as error:
                raise self._problem(error) from error
            await self._vault.record(lambda tables: tables.targets.plan(self._target, b""))
        await self._clear()

    @contextlib.contextmanager
    def _closed_if_it_fails(self) -> Iterator[None]:
        """Leave no folder of a person's disk open, which could not be unmounted then."""
        try:
            yield
        except LocalError:
            self._swap.close()
            raise

    async def abandon(self) -> None:
        """The target is a new one: of this update only what is a person's own is kept there."""
        await self._clear()

    async def _clear(self) -> None:
        try:
            await in_thread(self._swap.clear)
        except OSError as error:
            _log.warning("%s: what an update left beside it stays for now: %s", self._target, error)
        finally:
            self._swap.close()

    def _problem(self, error: OSError) -> LocalError:
        if not _is_there(self._target):
            return TargetGone(
                f"{self._target} was moved, removed or replaced while it was brought up to date",
                advice="Put the folder back in its place; the update comes then.",
            )
        at = error.filename if isinstance(error.filename, str) else ""
        if is_busy(error):
            return TargetBusy(
                f"another program uses {quoted(at)} in {self._target}, or a disk is mounted there",
                advice="End that program, or unmount it; the update is tried again later.",
            )
        return refused(error, f"cannot update {self._target}")


def _is_there(target: Path) -> bool:
    """Whether a folder, and no link to one, is there; also where that cannot be told."""
    try:
        return is_plain_folder(target.lstat())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def planned_in(vault: Vault, stored: StoredTarget) -> tuple[BegunUpdate, Heading] | None:
    """The update of a target that the vault says has begun; None if its plan is not there.

    Blocking. Raises OSError.
    """
    path = Staging(stored.path).plan
    try:
        with path.open("rb") as file:
            encoded = file.read(PLAN_BYTES)
    except FileNotFoundError:
        return None
    direction = next((one for one in Heading if one.mark(encoded) == stored.plan), None)
    if direction is None:
        _log.warning("%s is not the plan of an update that this node began", path)
        return None
    try:
        plan = UpdatePlan.decode(encoded)
    except ModswarmError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
    return BegunUpdate(vault, stored.path, plan, encoded), direction
