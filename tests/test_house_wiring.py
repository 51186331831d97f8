"""How the parts of the house are wired, checked on the source, so that grep can follow it."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_house_rules import LAYERS, ROOT, name_of, sources, tree_of

MODULES_PER_FOLDER = 15

TYPED_ANSWERS = (
    *map(name_of, sources("node/answers")),
    "node/runtime.py",
    "node/sharing.py",
    "node/holders/search.py",
    "node/diagnosis.py",
)
"""What stands between a node's parts and its faces: every value has a type of its own."""

SET_FROM_OUTSIDE = {
    ("node/content/queue/queue.py", "by_get"): "an entry is the queue's own state",
    ("node/content/queue/queue.py", "foreground"): "an entry is the queue's own state",
    ("node/content/queue/queue.py", "name"): "an entry is the queue's own state",
    ("node/content/queue/queue.py", "path"): "an entry is the queue's own state",
    ("node/content/queue/queue.py", "reason"): "an entry is the queue's own state",
    ("node/content/queue/queue.py", "state"): "an entry is the queue's own state",
    ("node/content/queue/queue.py", "tries"): "an entry is the queue's own state",
    ("node/content/queue/queue.py", "try_at"): "an entry is the queue's own state",
    ("node/faces/cli/ending.py", "daemon"): "threading.Timer takes it no other way",
    ("node/faces/cli/terminal/interrupts.py", "unraisablehook"): "Python takes it no other way",
    ("node/faces/log.py", "args"): "a filter of logging changes a record in no other way",
    ("node/faces/log.py", "msg"): "a filter of logging changes a record in no other way",
    ("node/links/channel/native_channel.py", "on_lost"): "the channel is made of the DTLS path",
    ("node/links/channel/stock_channel.py", "bufferedAmountLowThreshold"): "aiortc's interface",
    ("node/links/channel/stock_channel.py", "on_lost"): "the channel is made of the DTLS path",
    ("node/links/link.py", "receiver"): "the link is made of its channel",
    ("node/links/pool/pool.py", "task"): "a pending call is the pool's own state",
    ("node/machine/streams.py", "stderr"): "Python takes it no other way",
    ("node/machine/streams.py", "stdin"): "Python takes it no other way",
    ("node/machine/streams.py", "stdout"): "Python takes it no other way",
    ("node/streams/tls.py", "check_hostname"): "ssl's interface",
    ("node/streams/tls.py", "minimum_version"): "ssl's interface",
    ("node/streams/tls.py", "num_tickets"): "ssl's interface",
    ("node/streams/tls.py", "verify_mode"): "ssl's interface",
    ("node/upnp/child.py", "discoverdelay"): "miniupnpc's interface",
    ("protocol/availability.py", "bitarray"): "pybloom takes stored bits no other way",
    ("protocol/overlay/lookup.py", "give_up_at"): "a variant is the lookup's own state",
    ("protocol/overlay/lookup.py", "network"): "a candidate learns its network when it matters",
    ("protocol/overlay/lookup.py", "slow_at"): "a variant is the lookup's own state",
    ("protocol/sctp/control/channels.py", "expires_at"): "the channel's terms for its message",
    ("protocol/sctp/control/channels.py", "max_retransmits"): "the channel's terms for its message",
    ("protocol/sctp/receive/inbound.py", "packets"): "counted here without a call for each packet",
    ("protocol/sctp/send/fragments.py", "offset"): "how far a queued message has been cut",
    ("protocol/sctp/send/scoreboard.py", "acked_bytes"): "filled in while a SACK is read",
    ("protocol/sctp/send/scoreboard.py", "early_repeats"): "filled in while a SACK is read",
    ("protocol/sctp/send/scoreboard.py", "late_by_s"): "filled in while a SACK is read",
    ("protocol/sctp/send/scoreboard.py", "newest"): "filled in while a SACK is read",
    ("protocol/sctp/send/scoreboard.py", "revived"): "filled in while a SACK is read",
}
"""By module and attribute: what is assigned on an object of another module, and why."""


# Typed answers ----------------------------------------------------------------------------


def hints_in(path: Path) -> Iterator[ast.expr]:
    """The annotations of all functions and class fields of a file, private ones included."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parameters = node.args
            extra = [one for one in (parameters.vararg, parameters.kwarg) if one is not None]
            for parameter in (
                *parameters.posonlyargs,
                *parameters.args,
                *parameters.kwonlyargs,
                *extra,
            ):
                if parameter.annotation is not None:
                    yield parameter.annotation
            if node.returns is not None:
                yield node.returns
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation


@pytest.mark.parametrize("name", TYPED_ANSWERS)
def test_nothing_between_node_and_faces_is_of_any_type(name: str) -> None:
    hints = list(hints_in(ROOT / name))
    words = [word for hint in hints for word in ast.walk(hint) if isinstance(word, ast.Name)]
    assert [f"line {word.lineno}" for word in words if word.id in {"Any", "object"}] == []


# Attributes -------------------------------------------------------------------------------


def attributes_of(tree: ast.Module) -> set[str]:
    """The attributes of a module's own classes: declared, in slots, or assigned by a method."""
    found: set[str] = set()
    for made in ast.walk(tree):
        if not isinstance(made, ast.ClassDef):
            continue
        for line in made.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                found.add(line.target.id)
            elif isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__slots__":
                found.update(ast.literal_eval(line.value))
        found |= {one.attr for one in assigned(made) if is_own(one)}
    return found


def assigned(tree: ast.AST) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def assigned_from_outside(path: Path) -> set[str]:
    """Attributes that a module assigns on what is not `self`, and that no class of its own has."""
    tree = tree_of(path)
    own = attributes_of(tree)
    return {one.attr for one in assigned(tree) if not is_own(one) and one.attr not in own}


def test_attributes_are_assigned_from_outside_only_where_it_is_explained() -> None:
    found = {
        (name_of(path), attribute)
        for path in sources("protocol", "node")
        for attribute in assigned_from_outside(path)
    }
    assert found - SET_FROM_OUTSIDE.keys() == set()
    assert SET_FROM_OUTSIDE.keys() - found == set(), "take what is gone off the list"


# Asserts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sources("protocol", "node"), ids=name_of)
def test_no_assert_stands_between_a_peer_and_a_named_error(path: Path) -> None:
    """The protocol has none; a node only narrows what it has set itself, for the type checker."""
    asserted = [node.test for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)]
    found = [ast.unparse(one) for one in asserted]
    may_narrow = name_of(path).startswith("node/")
    assert [one for one in found if not (may_narrow and one.endswith(" is not None"))] == []


# Folders ----------------------------------------------------------------------------------


def test_folders_are_small_enough_to_show_the_plan() -> None:
    paths = sources(*LAYERS, "scripts")
    counts = Counter(name_of(path.parent) for path in paths if path.name != "__init__.py")
    assert {name: count for name, count in counts.items() if count > MODULES_PER_FOLDER} == {}


# Imports ----------------------------------------------------------------------------------


@cache
def modules() -> dict[str, Path]:
    return {
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in sources(*LAYERS)
    }


def imports_of(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it, for types only or not."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & modules().keys()) or {node.module}
    return found & modules().keys()


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach one another (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for after in sorted(graph[name]):
            if after not in index:
                visit(after)
                low[name] = min(low[name], low[after])
            elif after in stack:
                low[name] = min(low[name], index[after])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[-len(group) :]
            if len(group) > 1 or name in graph[name]:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d", "a"}}
    assert sorted(circles(graph)) == [["b", "c"], ["d"]]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles({name: imports_of(path) for name, path in modules().items()}) == []


# Names ------------------------------------------------------------------------------------


def public_names(path: Path) -> Iterator[str]:
    """Classes, types and constants at a module's top, without functions."""
    for line in tree_of(path).body:
        if isinstance(line, ast.ClassDef):
            yield line.name
        elif isinstance(line, ast.Assign):
            yield from (one.id for one in line.targets if isinstance(one, ast.Name))
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id


def test_a_public_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sources("protocol", "node"):
        for name in public_names(path):
            if not name.startswith("_"):
                places[name].append(name_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


# Tasks ------------------------------------------------------------------------------------

AWAITED_WHERE_THEY_START = {
    "node/faces/api/stream.py": "an HTTP request's work, which its handler cancels and awaits",
    "node/overlay/signaling/outgoing_call.py": "a call's lookup, which the call cancels and awaits",
}


@pytest.mark.parametrize("path", sources("node"), ids=name_of)
def test_every_task_has_an_owner(path: Path) -> None:
    """Tasks begin by a `TaskOwner` or a `TaskGroup`, so none ends or fails unseen."""
    loops = {"asyncio", "loop", "self._loop", "asyncio.get_running_loop()"}
    starts = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"create_task", "ensure_future"}
        and ast.unparse(node.func.value) in loops
    ]
    is_listed = name_of(path) in {"node/tasks.py", *AWAITED_WHERE_THEY_START}
    assert bool(starts) is is_listed, starts
