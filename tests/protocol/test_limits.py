"""Bounds: each has one name, a docstring and a user."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from protocol import limits
from protocol.sctp import limits as sctp_limits

ROOT = Path(limits.__file__).parents[1]
SOURCES = [ROOT / "protocol" / "limits.py", ROOT / "protocol" / "sctp" / "limits.py"]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def assigned(path: Path) -> list[ast.Assign]:
    return [node for node in ast.parse(text_of(path)).body if isinstance(node, ast.Assign)]


def names_in(path: Path) -> list[str]:
    return [ast.unparse(target) for node in assigned(path) for target in node.targets]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.parent.name)
def test_each_bound_is_defined_once(path: Path) -> None:
    assert [name for name, count in Counter(names_in(path)).items() if count > 1] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.parent.name)
def test_each_bound_has_a_docstring(path: Path) -> None:
    """One of its own, or one for a group of lines without a blank one between."""
    body = ast.parse(text_of(path)).body
    bare = [
        ast.unparse(node)
        for node, following in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.Assign)
        and (
            not isinstance(following, ast.Assign | ast.Expr)
            or following.lineno != (node.end_lineno or 0) + 1
        )
    ]
    assert bare == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.parent.name)
def test_each_bound_is_used(path: Path) -> None:
    """By the product outside of this file, or by another bound that follows from it."""
    product = [
        text_of(source)
        for folder in ("protocol", "node")
        for source in (ROOT / folder).rglob("*.py")
        if source != path
    ]
    used = set(re.findall(r"\blimits\.([A-Z_0-9]+)", "\n".join(product)))
    used |= {
        name.id
        for node in assigned(path)
        for name in ast.walk(node.value)
        if isinstance(name, ast.Name)
    }
    assert sorted(set(names_in(path)) - used) == []


def test_bounds_that_depend_on_each_other() -> None:
    assert limits.CONTACTS_PER_REPLY > limits.K
    assert 1 <= limits.LOOKUP_PATHS <= limits.LOOKUP_PATHS_MAX
    assert limits.LOOKUP_PATH_REQUESTS * limits.LOOKUP_PATHS_MAX >= limits.LOOKUP_REQUESTS
    assert limits.KEEPALIVE_S < 30.0, "RFC 4787, 4.3: what impatient NATs do"
    assert sctp_limits.PACKET_BYTES_MIN < sctp_limits.PACKET_BYTES_DEFAULT
