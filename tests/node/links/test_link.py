"""A link over a channel in memory: the frames that it takes, and what ends it."""

import asyncio
import random

import pytest

from node.links.link import FrameTypesTaken, Link, LinkOrigin
from node.links.path.found_path import FoundPath
from node.links.stages import StageClock
from protocol import codec, limits
from protocol.addresses import Address
from protocol.causes.tried import KnownSide
from protocol.errors import LinkClosed, Malformed, ModswarmError, NotAuthentic
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity
from protocol.noise_session import (
    CalleeHandshake,
    CallerHandshake,
    NoiseHandshake,
    Party,
    ephemeral_key,
    prologue,
)
from protocol.reachability.network_view import NatKind
from tests.node.links.fake_channel import FakeChannel, Tamper

pytestmark = pytest.mark.leaves_nothing

CALLER = Identity(b"\1" * 32)
CALLEE = Identity(b"\2" * 32)
OTHER = Identity(b"\3" * 32)
NETWORK = KnownSide((4,), NatKind(), 0)
PROLOGUE = prologue(
    bytes(16), Party(CALLER.public_key, b"c" * 32, 2), Party(CALLEE.public_key, b"d" * 32, 1)
)


def handshakes(
    caller: Identity = CALLER, callee: Identity = CALLEE, seed: int = 0
) -> tuple[CallerHandshake, CalleeHandshake]:
    """Of both sides, as offer and answer begin it: each believes that it is called rightly."""
    secrets = [random.Random(seed * 2 + place).randbytes(32) for place in range(2)]
    theirs = CalleeHandshake(
        callee,
        CALLER.public_key,
        prologue=PROLOGUE,
        ephemeral_secret=secrets[1],
        offered=ephemeral_key(secrets[0]),
    )
    ours = CallerHandshake(
        caller,
        CALLEE.public_key,
        prologue=PROLOGUE,
        ephemeral_secret=secrets[0],
        answered=theirs.answer,
    )
    return ours, theirs


def make(channel: FakeChannel, handshake: NoiseHandshake) -> Link:
    initiator = isinstance(handshake, CallerHandshake)
    peer = CALLEE if initiator else CALLER
    here = Address("127.0.0.1", 1)
    path = FoundPath(here, CandidateKind.HOST, here, CandidateKind.HOST)
    origin = LinkOrigin(
        peer.public_key,
        "outgoing" if initiator else "incoming",
        lambda: path,
        tuple,
        own=NETWORK,
        peer=NETWORK,
        asked_at=0.0,
        stages=StageClock(),
    )
    return Link(channel, handshake, origin)


def linked_by(
    near: FakeChannel, far: FakeChannel, ours: NoiseHandshake, theirs: NoiseHandshake
) -> tuple[Link, Link]:
    return make(near, ours), make(far, theirs)


async def open_pair() -> tuple[Link, Link, FakeChannel, FakeChannel]:
    near, far = FakeChannel.pair()
    ours, theirs = linked_by(near, far, *handshakes())
    await asyncio.gather(ours.open(), theirs.open())
    return ours, theirs, near, far


def frame(text: bytes, kind: int = 0) -> bytes:
    return codec.encode([kind, text])


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_frames_that_come_before_delivery_starts_are_delivered_first() -> None:
    ours, theirs, _, _ = await open_pair()
    got: list[bytes] = []
    ours.send(frame(b"1"))
    ours.send(frame(b"2"))
    await turns()
    assert theirs.bytes_received == 2 * len(frame(b"1"))
    theirs.register(range(32), got.append)
    theirs.start_delivery()
    ours.send(frame(b"3"))
    assert got == []
    await turns()
    assert got == [frame(b"1"), frame(b"2"), frame(b"3")]


async def test_a_frame_that_comes_while_early_ones_wait_follows_them() -> None:
    ours, theirs, _, _ = await open_pair()
    got: list[bytes] = []
    theirs.register(range(32), got.append)
    ours.send(frame(b"1"))
    await turns()
    ours.send(frame(b"2"))  # arrives in the turn in which early frames are delivered
    theirs.start_delivery()
    await turns()
    assert got == [frame(b"1"), frame(b"2")]


async def test_frames_go_to_the_handler_of_their_type() -> None:
    ours, theirs, _, _ = await open_pair()
    low: list[bytes] = []
    high: list[bytes] = []
    for kind in (0, 31, 32, 127):
        ours.send(frame(b"early", kind))
    await turns()
    theirs.register(range(32), low.append)
    theirs.register(range(32, 128), high.append)
    theirs.start_delivery()
    await turns()
    for kind in (0, 31, 32, 127):
        ours.send(frame(b"late", kind))
    await turns()
    assert low == [frame(text, kind) for text in (b"early", b"late") for kind in (0, 31)]
    assert high == [frame(text, kind) for text in (b"early", b"late") for kind in (32, 127)]


async def test_no_type_has_two_handlers() -> None:
    _, theirs, _, _ = await open_pair()
    theirs.register(range(32), print)
    for types in (range(32), range(31, 33), range(1)):
        with pytest.raises(FrameTypesTaken, match="have a handler"):
            theirs.register(types, print)
    theirs.register(range(32, 48), print)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x91\x20", "a frame of the unknown type 32"),
        (b"\x91\xcc\x80", "a frame without a type"),
        (b"\x90", "a frame without a type"),
        (b"\x00\x00", "a frame without a type"),
        (b"", "a frame without a type"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
async def test_a_frame_that_has_no_handler_closes_the_link_by_name(
    sent: bytes, reason: str, early: bool
) -> None:
    ours, theirs, _, far = await open_pair()
    theirs.register(range(32), print)
    if not early:
        theirs.start_delivery()
        await turns()
    ours.send(sent)
    await turns()
    if early:
        assert not theirs.closed.done()
        theirs.start_delivery()
        await turns()
    assert theirs.closed.result() == reason
    assert isinstance(theirs.error, Malformed)
    await theirs.close()
    assert far.close_reason == "malformed"


async def test_a_peer_cannot_fill_a_link_before_its_delivery_starts() -> None:
    ours, theirs, _, far = await open_pair()
    for _ in range(limits.EARLY_MESSAGES_BYTES // 50_000):
        ours.send(bytes(50_000))
    await turns()
    assert not theirs.closed.done()
    ours.send(bytes(50_000))
    await turns()
    assert "more frames than a link keeps" in theirs.closed.result()
    await theirs.close()
    assert far.close_reason == "oversized"


async def test_empty_messages_fill_what_a_link_keeps_as_well() -> None:
    ours, theirs, _, _ = await open_pair()
    for _ in range(limits.EARLY_MESSAGES_BYTES // limits.EARLY_MESSAGE_OVERHEAD_BYTES):
        ours.send(b"")
    await turns()
    assert not theirs.closed.done()
    ours.send(b"")
    await turns()
    assert "more frames than a link keeps" in theirs.closed.result()


def flip(position: int) -> Tamper:
    def tamper(batch: list[bytes]) -> list[bytes]:
        message = bytearray(batch[0])
        message[position] ^= 1
        return [bytes(message), *batch[1:]]

    return tamper


def _swap(batch: list[bytes]) -> list[bytes]:
    return batch[::-1]


def _repeat(batch: list[bytes]) -> list[bytes]:
    return [batch[0], *batch]


def _drop(batch: list[bytes]) -> list[bytes]:
    return batch[1:]


def _reflect_nothing(batch: list[bytes]) -> list[bytes]:
    return [b"", *batch]


def _truncate(batch: list[bytes]) -> list[bytes]:
    return [batch[0][:-1], *batch[1:]]


def _oversize(batch: list[bytes]) -> list[bytes]:
    return [bytes(limits.MESSAGE_BYTES + 1)]


@pytest.mark.parametrize(
    ("tamper", "intact", "named"),
    [
        (flip(0), [], "not_authentic"),
        (flip(-1), [], "not_authentic"),
        (_swap, [], "not_authentic"),
        (_repeat, [frame(b"first")], "not_authentic"),
        (_drop, [], "not_authentic"),
        (_reflect_nothing, [], "not_authentic"),
        (_truncate, [], "not_authentic"),
        (_oversize, [], "oversized"),
    ],
)
async def test_a_tampered_frame_is_not_delivered_and_closes_the_link(
    tamper: Tamper, intact: list[bytes], named: str
) -> None:
    ours, theirs, _, far = await open_pair()
    got: list[bytes] = []
    theirs.register(range(32), got.append)
    theirs.start_delivery()
    await turns()
    far.tamper = tamper
    ours.send(frame(b"first"))
    ours.send(frame(b"second"))
    await turns()
    assert got == intact
    assert theirs.closed.done()
    with pytest.raises(LinkClosed):
        theirs.send(b"answer")
    await theirs.close()
    assert far.close_reason == named
    await turns()
    assert ours.closed.result() == f"closed by the peer: {named}"


async def test_a_frame_of_ours_sent_back_to_us_is_not_authentic() -> None:
    ours, _, near, _ = await open_pair()
    ours.send(b"echo")
    near.arrive(near.sent[-1])
    await turns()
    assert "did not encrypt" in ours.closed.result()


async def test_a_frame_of_another_session_is_not_authentic() -> None:
    ours, _, near, _ = await open_pair()
    other_near, other_far = FakeChannel.pair()
    again, their_again = linked_by(other_near, other_far, *handshakes(seed=7))
    await asyncio.gather(again.open(), their_again.open())
    their_again.send(b"of another session")
    near.arrive(other_far.sent[-1])
    await turns()
    assert "did not encrypt" in ours.closed.result()


async def _failing_open(link: Link) -> ModswarmError:
    with pytest.raises(ModswarmError) as failed:
        await link.open()
    return failed.value


@pytest.mark.parametrize("wrong", ["caller", "callee"])
async def test_an_impostor_on_either_side_opens_no_link(wrong: str) -> None:
    near, far = FakeChannel.pair()
    sides = handshakes(OTHER, CALLEE) if wrong == "caller" else handshakes(CALLER, OTHER)
    ours, theirs = linked_by(near, far, *sides)
    opening = asyncio.ensure_future(_failing_open(theirs))
    assert isinstance(await _failing_open(ours), NotAuthentic)
    assert near.sent == []
    await ours.close()
    assert isinstance(await opening, LinkClosed)
    await turns()
    assert theirs.closed.result() == "closed by the peer: not_authentic"


@pytest.mark.parametrize("position", [0, 15])
async def test_a_tampered_handshake_opens_no_link(position: int) -> None:
    near, far = FakeChannel.pair()
    ours, theirs = linked_by(near, far, *handshakes())
    far.tamper = flip(position)
    opening = asyncio.ensure_future(ours.open())
    assert isinstance(await _failing_open(theirs), NotAuthentic)
    await theirs.close()
    await opening
    assert ours.closed.result() == "closed by the peer: not_authentic"


async def test_the_answering_side_is_open_only_after_the_callers_proof() -> None:
    near, far = FakeChannel.pair()
    ours, theirs = linked_by(near, far, *handshakes())
    far.tamper = lambda _: []
    answering = asyncio.ensure_future(theirs.open())
    await ours.open()
    await turns()
    assert not answering.done()
    with pytest.raises(LinkClosed, match="not open yet"):
        theirs.send(b"too early")
    far.tamper = list
    far.arrive(near.sent[0])
    await answering


async def test_handshake_messages_that_come_before_open_are_kept() -> None:
    near, far = FakeChannel.pair()
    ours, theirs = linked_by(near, far, *handshakes())
    await ours.open()
    ours.send(frame(b"at once"))
    await turns()
    assert far.sent == []
    await theirs.open()
    assert theirs.bytes_received == len(frame(b"at once"))


async def test_a_channel_that_ends_during_the_handshake_fails_it() -> None:
    near, far = FakeChannel.pair()
    _, handshake = handshakes()
    theirs = make(far, handshake)
    opening = asyncio.ensure_future(_failing_open(theirs))
    await turns()
    await near.close("gone")
    assert str(await opening) == "closed by the peer: gone"


async def test_a_fault_of_a_handler_closes_only_the_link() -> None:
    ours, theirs, _, far = await open_pair()

    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    theirs.register(range(32), fail)
    theirs.start_delivery()
    ours.send(frame(b"text"))
    await turns()
    assert theirs.closed.result() == "internal error"
    assert isinstance(theirs.error, ZeroDivisionError)
    await theirs.close()
    assert far.close_reason == "internal error"


async def test_a_queue_that_does_not_move_is_seen() -> None:
    ours, _, near, _ = await open_pair()
    now = asyncio.get_running_loop().time()
    assert ours.stalled_for(now + 100.0) == 0.0
    near.buffered_bytes = 21
    ours.send(b"frame")
    assert ours.stalled_for(now + 100.0) == 0.0  # seen for the first time
    assert ours.stalled_for(now + 130.0) == pytest.approx(30.0)
    near.buffered_bytes = 20
    assert ours.stalled_for(now + 140.0) == 0.0
    assert ours.stalled_for(now + 145.0) == pytest.approx(5.0)
    near.acknowledged_bytes = 1000  # of what had left: the peer is there, and takes what comes
    assert ours.stalled_for(now + 160.0) == 0.0
    assert ours.stalled_for(now + 165.0) == pytest.approx(5.0)
    near.buffered_bytes = 0
    assert ours.stalled_for(now + 170.0) == 0.0


async def test_closing_twice_keeps_the_first_reason() -> None:
    ours, theirs, near, _ = await open_pair()
    await ours.close("first")
    await ours.close("second")
    assert ours.closed.result() == "closed by us: first"
    assert near.close_reason == "first"
    await theirs.close()
