"""The rules of the house that a reader relies on, checked on the source of every file."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("protocol", "node", "simulations", "scripts")

FUNCTION_LINES = 70
"""The longest function of the product, docstring included; few come near."""

POLL_S = 0.02

REAL_LOOPS = {"asyncio.run", "asyncio.Runner", "asyncio.new_event_loop"}
"""What runs coroutines on the real clock, unless it is given a loop factory."""

IMPURE = {
    "asyncio",
    "concurrent",
    "datetime",
    "multiprocessing",
    "os",
    "random",
    "secrets",
    "select",
    "selectors",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
}
"""What brings a clock, chance or the outside world of its own."""

LAYERS = ("protocol", "node", "simulations")
"""Each imports only itself and those before it."""

OWNERS = {
    "kademlia": ("node/overlay/", "simulations/residents/stock.py"),
    "rpcudp": ("node/overlay/",),
    "aiortc": ("node/links/", "simulations/libraries/seams.py"),
    "aioice": ("node/links/", "simulations/libraries/seams.py", "scripts/benchmarks/ice/"),
    "pylibsrtp": ("node/links/",),
    "OpenSSL": ("node/links/", "simulations/libraries/seams.py"),
    "aiohttp": ("node/faces/", "node/content/origins/", "scripts/benchmarks/"),
    "click": ("node/faces/",),
    "rich": ("node/faces/", "simulations/command_line.py"),
}
"""The paths that may import a library. Simulations compare with it, and give it virtual time."""

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "imp"}


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "__pycache__" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_by(path: Path) -> set[str]:
    """Full names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative imports hide what is imported"
            assert node.module is not None
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def packages_imported_by(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_by(path)}


def test_there_is_something_to_check() -> None:
    for folder in LAYERS:
        assert len(sources(folder)) > 5, folder
    assert "protocol" in packages_imported_by(ROOT / "node" / "overlay" / "rpc" / "wire.py")
    assert "asyncio" in packages_imported_by(ROOT / "node" / "overlay" / "rpc" / "wire.py")


@pytest.mark.parametrize("path", sources("protocol"), ids=name_of)
def test_the_protocol_has_no_clock_chance_or_socket_of_its_own(path: Path) -> None:
    assert not packages_imported_by(path) & IMPURE


@pytest.mark.parametrize("path", sources(*LAYERS), ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    above = set(LAYERS[layer + 1 :]) | {"tests", "scripts"}
    assert not packages_imported_by(path) & above


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_has_one_owner(library: str) -> None:
    users = [name_of(path) for path in sources(*PRODUCT) if library in packages_imported_by(path)]
    assert [user for user in users if not user.startswith(OWNERS[library])] == []


@pytest.mark.parametrize("path", sources(*PRODUCT), ids=name_of)
def test_nothing_runs_what_it_reads(path: Path) -> None:
    assert not packages_imported_by(path) & FORBIDDEN_MODULES
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"line {node.lineno}"
        called = ast.unparse(node.func)
        assert called not in {"os.system", "os.popen", "asyncio.create_subprocess_shell"}
        for keyword in node.keywords:
            if keyword.arg == "shell":
                given = keyword.value
                assert isinstance(given, ast.Constant), f"line {node.lineno}"
                assert given.value is False, f"line {node.lineno}"


@pytest.mark.parametrize("path", sources(*PRODUCT), ids=name_of)
def test_values_of_queries_are_told_by_their_place(path: Path) -> None:
    """Python 3.12 warns of a `?1` that is given a sequence, and 3.14 refuses it."""
    texts = (
        one.value
        for one in ast.walk(tree_of(path))
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    )
    assert [text for text in texts if re.search(r"[=(, ]\?\d", text)] == []


@pytest.mark.parametrize("path", sources(*PRODUCT), ids=name_of)
def test_functions_are_short(path: Path) -> None:
    too_long = {
        f"{node.name} (line {node.lineno})": node.end_lineno - node.lineno + 1
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert too_long == {}


def test_file_names_of_tests_are_unique() -> None:
    # The tests' folders are no packages, so the file name is all that tells modules apart.
    names = Counter(path.name for path in sources("tests") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
    assert not list((ROOT / "tests").rglob("__init__.py"))


def is_marked_real(node: ast.AST) -> bool:
    """Whether it is a test, or the marks of a whole file, with `real_loop`."""
    marks: list[ast.expr] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        marks = node.decorator_list
    elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
        marks = [node.value]
    return any("mark.real_loop" in ast.unparse(mark) for mark in marks)


def is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
        "test_"
    )


def starts_real_loop(node: ast.AST) -> bool:
    """Whether anything in it runs coroutines on a loop of asyncio's own."""
    return any(
        ast.unparse(call.func) in REAL_LOOPS
        and not any(keyword.arg == "loop_factory" for keyword in call.keywords)
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
    )


@cache
def importers() -> dict[str, list[Path]]:
    """The test files that import a module, by its full name."""
    found: dict[str, list[Path]] = {}
    for path in sources("tests"):
        for name in imported_by(path):
            found.setdefault(name, []).append(path)
    return found


@cache
def has_virtual_clock(path: Path) -> bool:
    """Whether its coroutines run in virtual time, where asyncio's sleep costs nothing.

    They do unless the file is marked real_loop, a helper in it starts a loop of asyncio's own, or
    it helps only files that do so.
    """
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and is_marked_real(node):
            return False
        if not is_test(node) and starts_real_loop(node):
            return False
    users = importers().get(".".join(path.relative_to(ROOT).with_suffix("").parts), [])
    return not users or any(has_virtual_clock(user) for user in users)


def sleeps_in(node: ast.AST, *, real: bool, polls: bool = False) -> Iterator[tuple[ast.Call, bool]]:
    """Calls that sleep on the real clock, and whether a `while` polls."""
    for child in ast.iter_child_nodes(node):
        is_real = real or is_marked_real(child) or (is_test(child) and starts_real_loop(child))
        inside = polls or isinstance(child, ast.While)
        if isinstance(child, ast.Call):
            called = ast.unparse(child.func)
            if called in {"time.sleep", "sleep"} or (is_real and called == "asyncio.sleep"):
                yield child, inside
        yield from sleeps_in(child, real=is_real, polls=inside)


def is_harmless(call: ast.Call, *, polls: bool) -> bool:
    """A turn of the loop, or a short pause between two looks at a condition."""
    length = call.args[0] if call.args else None
    if not isinstance(length, ast.Constant) or not isinstance(length.value, int | float):
        return False
    turns = ast.unparse(call.func) == "asyncio.sleep" and length.value == 0
    return turns or (polls and length.value <= POLL_S)


@pytest.mark.parametrize("path", sources("tests"), ids=name_of)
def test_no_test_sleeps_on_the_real_clock(path: Path) -> None:
    waits = [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call, polls in sleeps_in(tree_of(path), real=not has_virtual_clock(path))
        if not is_harmless(call, polls=polls)
    ]
    assert waits == []


def test_a_sleep_on_the_real_clock_is_found() -> None:
    found = [
        call.lineno
        for call, _ in sleeps_in(
            ast.parse(
                "import asyncio, time, pytest\n"
                "async def test_virtual(): await asyncio.sleep(1)\n"
                "@pytest.mark.real_loop\n"
                "async def test_real(): await asyncio.sleep(1)\n"
                "def test_blocking(): time.sleep(1)\n"
            ),
            real=False,
        )
    ]
    assert found == [4, 5]
