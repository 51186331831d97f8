"""A lookup of a peer whose answer is lost: perhaps no other contact knows what it knows."""

from collections import Counter
from collections.abc import Callable

from protocol import limits
from protocol.overlay.messages import Request, encode_found
from simulations.internet.latency import UniformLatency
from simulations.residents.world import World
from tests.node.overlay.attacks.arena import key_pair, our_mallory, our_server, pong

ROUND_TRIP_S = 0.1
NOBODY = encode_found([], [], skip=0, registration_proof=b"", max_bytes=900)
TARGET = 0
"""Among the arguments of FIND_NODE."""


def silent_at(count: Counter[bytes], *numbers: int) -> Callable[[Request], list[object] | None]:
    """Answers FIND_NODE but for these requests of each target, from 1 on."""

    def answer(request: Request) -> list[object] | None:
        target = request.arguments[TARGET]
        count[target] += 1
        return None if count[target] in numbers else NOBODY

    return answer


async def test_the_contact_that_is_looked_up_is_asked_twice_and_others_once() -> None:
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    _, reader = await our_server(world)
    of_wanted, of_other, of_lost = Counter[bytes](), Counter[bytes](), Counter[bytes]()
    answers = (silent_at(of_wanted, 1), silent_at(of_other, 1, 2), silent_at(of_lost, 1, 2))
    contacts = []
    for number, answer in enumerate(answers, 1):
        one = await our_mallory(world.internet, key_pair(number), ping=pong, find_node=answer)
        one.gives_token = bytes(limits.TOKEN_BYTES)
        reader.protocol.maintenance.answered(one.contact)
        contacts.append(one.contact)
    wanted, _, lost = contacts
    lookup = await reader.lookup(wanted.peer_id)
    assert lookup.closest() == [wanted]
    assert of_wanted[wanted.peer_id] == 2
    assert of_other[wanted.peer_id] == of_lost[wanted.peer_id] == 1
    lookup = await reader.lookup(lost.peer_id)
    assert lost not in lookup.closest()
    assert of_lost[lost.peer_id] == 2
    await world.close()
