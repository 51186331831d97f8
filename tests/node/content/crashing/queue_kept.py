"""A queue of downloads that is broken off while a person changes it, and while they come."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from node.answers.downloads import DownloadState, DownloadView, Priority
from node.content.queue.entry import DownloadRequest
from node.content.queue.queue import DownloadQueue
from protocol.content.manifests.manifest import decode_manifest
from protocol.errors import DiskError
from tests.node.content.content_nodes import (
    content_node,
    read_files,
    write_files,
)
from tests.node.content.crashing.life import Steps, check_vault, told
from tests.node.content.crashing.mods import LINE_BYTES_S, acknowledging, files_of, link_in
from tests.node.content.downloads import Getter

_RUNNING, _RESTING, _UNWANTED = 1, 2, 3
"""What is told of the mods: go on; rest, and then go before others; and, in the end, nothing."""
_UNDER_WAY = (DownloadState.WAITING, DownloadState.ACTIVE)
_LOOK_S = 0.05

_IS_SO: dict[str, Callable[[DownloadView | None], bool]] = {
    "nothing": lambda _: True,
    "added": lambda view: view is not None and view.state is not DownloadState.PAUSED,
    "paused": lambda view: view is not None and view.state is DownloadState.PAUSED,
    "resumed": lambda view: (
        view is not None
        and (view.state, view.priority) != (DownloadState.PAUSED, Priority.LOW)
        and view.priority is Priority.HIGH
    ),
    "cancelled": lambda view: view is None,
}
"""Whether a queue has kept what a person was told."""


class QueueKept:
    """A person lets three mods be fetched, pauses one and cancels one, and the others come."""

    name = "queue"

    async def prepare(self, world: Path) -> None:
        """One that has the mods."""
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk"):
            for seed in (_RUNNING, _RESTING, _UNWANTED):
                source = write_files(world / f"source{seed}" / "mod", files_of(seed))
                shared = await giver.publisher.publish(source, f"mod {seed}")
                (world / f"link{seed}").write_text(str(shared.link))

    async def run(self, world: Path, steps: Steps) -> None:
        """Say so, where it was not said before the node was broken off."""
        async with content_node(world / "giver", 2) as giver, steps.node(world / "disk") as node:
            acknowledging(node.vault, steps)
            async with _queue(world, Getter(node, giver, LINE_BYTES_S)) as held:
                await self._say(world, held, steps)
                await steps.do(partial(_finish, held))
                for view in held.view().downloads:
                    steps.acknowledge("done", view.mod_id.hex())

    async def _say(self, world: Path, held: DownloadQueue, steps: Steps) -> None:
        async def say(what: str, seed: int, change: Callable[[], object]) -> None:
            async def changed() -> None:
                made = change()
                if isinstance(made, Awaitable):
                    await made

            steps.acknowledge("will", str(seed), what)
            await steps.do(changed)
            steps.acknowledge("is", str(seed), what)

        for seed in (_RUNNING, _RESTING, _UNWANTED):
            if _view(world, held, seed) is None:
                await say("added", seed, partial(held.add, _request(world, seed)))
        resting = _view(world, held, _RESTING)
        assert resting is not None
        if resting.priority is Priority.LOW:
            if resting.state in _UNDER_WAY:
                await say("paused", _RESTING, partial(held.pause, resting.id))
            await asyncio.sleep(_LOOK_S)
            again = partial(held.resume, resting.id, Priority.HIGH)
            await say("resumed", _RESTING, again)
        unwanted = _view(world, held, _UNWANTED)
        assert unwanted is not None
        await say("cancelled", _UNWANTED, partial(held.cancel, unwanted.id))

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """Each is as a person was told, and goes on from its chunks until it is whole."""
        check_vault(world / "disk" / "vault")
        targets = [_target(world, seed) for seed in (_RUNNING, _RESTING)]
        for seed in (_RUNNING, _RESTING):
            if [link_in(world, seed).mod_id.hex()] in told(acknowledged, "done"):
                assert _target(world, seed).exists(), "it was written"
            if _target(world, seed).exists():
                assert read_files(_target(world, seed)) == files_of(seed), "half of a mod"
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk") as node:
            getter = Getter(node, giver)
            async with _queue(world, getter) as held:
                for seed in (_RUNNING, _RESTING, _UNWANTED):
                    _check_told(seed, _view(world, held, seed), acknowledged)
                await self._go_on(world, held)
            kept = {address for (address,) in told(acknowledged, "stored")}
            for seed in (_RUNNING, _RESTING):
                mod_id = link_in(world, seed).mod_id
                manifest = decode_manifest(await giver.vault.get(mod_id) or b"")
                again = {
                    manifest.addresses[chunk].hex() for chunk in getter.chunks.get(mod_id, ())
                } & kept
                assert not again, "fetched again, though they were stored"
            # What hidden names are left go with the next one beside them.
            for other in (targets[0].with_name("other"), world / "disk" / "other"):
                await node.assembler.assemble(link_in(world, _RUNNING).mod_id, other)
                shutil.rmtree(other)
        for seed, target in zip((_RUNNING, _RESTING), targets, strict=True):
            assert read_files(target) == files_of(seed)
        check_vault(world / "disk" / "vault")
        left = {path.name for path in (world / "disk").iterdir()}
        assert left == {"downloads.json", "new", "vault"}, f"left: {sorted(left)}"
        assert set((world / "disk" / "new" / "folder").iterdir()) == set(targets)

    async def _go_on(self, world: Path, held: DownloadQueue) -> None:
        """What a person does then; what was not paused goes on by itself."""
        for seed in (_RUNNING, _RESTING):
            view = _view(world, held, seed)
            if view is None:
                held.add(_request(world, seed))
            elif view.state is DownloadState.PAUSED:
                held.resume(view.id, Priority.HIGH)
        unwanted = _view(world, held, _UNWANTED)
        if unwanted is not None:
            await held.cancel(unwanted.id)
        await _ended(held)
        told = [(view.state, view.reason) for view in held.view().downloads]
        assert told == [(DownloadState.DONE, "")] * 2


@contextlib.asynccontextmanager
async def _queue(world: Path, getter: Getter) -> AsyncIterator[DownloadQueue]:
    held = DownloadQueue(
        world / "disk" / "downloads.json", getter.get, getter.keep, lambda: 1.7e9, 1
    )
    held.start()
    try:
        yield held
    finally:
        await held.close()
        assert held.defects == []


async def _ended(held: DownloadQueue) -> None:
    while any(view.state in _UNDER_WAY for view in held.view().downloads):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)


async def _finish(held: DownloadQueue) -> None:
    """Until all have come; raises why one has not."""
    for view in held.view().downloads:
        if view.state is DownloadState.FAILED:
            held.resume(view.id)
    await _ended(held)
    for view in held.view().downloads:
        if view.state is DownloadState.FAILED:
            raise DiskError(view.reason)


def _check_told(seed: int, view: DownloadView | None, acknowledged: list[str]) -> None:
    """It is as it was told to be, or as it was to become when the node was broken off."""
    may_be = ["nothing"]
    for one in acknowledged:
        what, *rest = one.split()
        if what in ("will", "is") and rest[0] == str(seed):
            may_be = [*may_be, rest[1]] if what == "will" else [rest[1]]
    assert any(_IS_SO[one](view) for one in may_be), f"mod {seed} was {may_be}, and is {view}"


def _view(world: Path, held: DownloadQueue, seed: int) -> DownloadView | None:
    mod_id = link_in(world, seed).mod_id
    return next((view for view in held.view().downloads if view.mod_id == mod_id), None)


def _request(world: Path, seed: int) -> DownloadRequest:
    """One of them goes into a folder by its own name."""
    if seed == _RESTING:
        target = _target(world, seed)
        return DownloadRequest(link_in(world, seed), into=target.parent, priority=Priority.LOW)
    return DownloadRequest(link_in(world, seed), target=_target(world, seed))


def _target(world: Path, seed: int) -> Path:
    return world / "disk" / "new" / "folder" / f"mod {seed}"
