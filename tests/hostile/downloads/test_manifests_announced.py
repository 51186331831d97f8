"""What sources announce of a manifest costs them nothing, and holds up nobody who has it.

The fakes know the mod, so they announce whatever is asked first, and refuse just before they are
late, or send junk of the longest length as slowly as one may.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from node.content.ports import LinkPort
from protocol import limits
from protocol.content import frames
from simulations.attacks.holders import HostileHolder, HostileUploaders, HugeManifest, LateRefusing
from tests.hostile.told import RecordProperty
from tests.node.content.content_nodes import content_nodes, write_files
from tests.node.content.memory_links import memory_link

MOD_BYTES = 12_000_000
LINE_BYTES_PER_SECOND = 4e6
ALONE_S = MOD_BYTES / LINE_BYTES_PER_SECOND
FAKES = 63


class LessThanTrue(LateRefusing):
    """Announces one byte less than the manifest has."""

    async def opened(self, request: frames.Open) -> None:
        """Announce it."""
        self._mods[request.stream] = request.mod_id
        length = len(await self.manifest(request.stream)) - 1
        self.send(frames.Opened(request.stream, length, complete=True))


class AsMuchAsTrue(LateRefusing):
    """Announces what the manifest has."""

    async def opened(self, request: frames.Open) -> None:
        """Announce it."""
        await HostileHolder.opened(self, request)


async def _seconds(
    folder: Path,
    uploaders: HostileUploaders,
    kind: type[HostileHolder],
    fakes: int,
    *,
    bad_rate: float = LINE_BYTES_PER_SECOND,
    later_s: float = 0.0,
) -> float:
    """How long a download takes from when the holder is found, so long after all fakes."""
    async with content_nodes(folder, 3) as (good, getter, bad):
        source = write_files(folder / "source", {"mod.bin": random.Random(5).randbytes(MOD_BYTES)})
        link = (await good.publisher.publish(source, "mod")).link
        uploaders.turn(bad.vault, kind, good.vault)
        ends = []
        for number in range(fakes):
            ours, theirs = memory_link(b"bad" + number.to_bytes(17), getter.peer_id)
            bad.exchanges.attach(ours)
            getter.exchanges.attach(theirs)
            ours.bytes_per_second = bad_rate
            ends.append(theirs)
        ours, from_good = good.connect(getter)
        ours.bytes_per_second = LINE_BYTES_PER_SECOND
        loop = asyncio.get_running_loop()
        found_at = 0.0

        async def find(_: bytes) -> AsyncIterator[LinkPort]:
            nonlocal found_at
            for end in ends:
                yield end
            await asyncio.sleep(later_s)
            found_at = loop.time()
            yield from_good

        async with asyncio.timeout(1000.0):
            await getter.download(link, find)
        assert await getter.vault.missing(link.mod_id) == []
        return loop.time() - found_at


@pytest.mark.parametrize("kind", [LateRefusing, LessThanTrue, AsMuchAsTrue])
@pytest.mark.parametrize("race_bytes", [limits.MANIFEST_RACE_BYTES, 20_000], ids=["short", "long"])
async def test_fakes_that_refuse_in_time_hold_up_no_manifest(
    tmp_path: Path,
    uploaders: HostileUploaders,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[HostileHolder],
    race_bytes: int,
    record_property: RecordProperty,
) -> None:
    """Also where one manifest takes all that may be announced at once, as that of a large mod."""
    monkeypatch.setattr(limits, "MANIFEST_RACE_BYTES", race_bytes)
    record_property("alone_s", ALONE_S)
    record_property("attackers", FAKES)
    seconds = await _seconds(tmp_path, uploaders, kind, FAKES)
    record_property("attacked_s", seconds)
    doublings = FAKES.bit_length()
    assert seconds <= 1.1 * ALONE_S + doublings * limits.LATE_S


async def test_one_that_sends_the_longest_junk_holds_up_no_short_manifest(
    tmp_path: Path, uploaders: HostileUploaders
) -> None:
    begun_s = limits.MANIFEST_BYTES / limits.MANIFEST_WAIT_BYTES_PER_SECOND
    seconds = await _seconds(
        *(tmp_path, uploaders, HugeManifest, 1), bad_rate=1.5e6, later_s=begun_s + 2.0
    )
    assert seconds <= 2.0 + 1.1 * ALONE_S


class LongAndSilent(HugeManifest):
    """Announces the longest manifest, sends nothing, and counts how often it is asked."""

    asked: ClassVar[list[tuple[HostileHolder, int]]] = []

    async def asked_for_manifest(self, request: frames.GetManifest) -> None:
        """Count."""
        self.asked.append((self, request.stream))


async def test_what_makes_room_for_another_is_asked_once(
    tmp_path: Path, uploaders: HostileUploaders
) -> None:
    LongAndSilent.asked.clear()
    await _seconds(tmp_path, uploaders, LongAndSilent, 5, later_s=20.0)
    asked = Counter(holder for holder, _ in LongAndSilent.asked)
    ahead = asked.total() - len(asked)  # with Open, before it was known how long theirs is
    assert ahead == limits.MANIFESTS_RACED
    assert max(asked.values()) == 2
    assert len(asked) > 2
    assert len(set(LongAndSilent.asked)) == asked.total()
