"""The tree of errors: its picture is complete, and each error is named once."""

import inspect
import re
from collections import Counter

from protocol import errors
from protocol.errors import ModswarmError

NAME = re.compile(r"\b[A-Z]\w+")
LINE = re.compile(r"^ {4}([│ ]*)[├└]── (.*)$", re.MULTILINE)


def classes() -> dict[str, type[ModswarmError]]:
    return {
        name: made
        for name, made in inspect.getmembers(errors, inspect.isclass)
        if issubclass(made, ModswarmError)
    }


def drawn() -> list[tuple[str, set[str]]]:
    """Each error of the picture, with the names that stand where its base may."""
    assert errors.__doc__ is not None
    heads = ["ModswarmError"]
    found: list[tuple[str, set[str]]] = [("ModswarmError", {"Exception"})]
    for indent, text in LINE.findall(errors.__doc__):
        depth = len(indent) // 4 + 1
        names = [name for name in NAME.findall(text) if name in classes()]
        del heads[depth:]
        heads.append(names[0])
        found += [(name, {heads[depth - 1], *names} - {name}) for name in names]
    return found


def test_the_picture_shows_every_error_once_under_its_base() -> None:
    picture = drawn()
    assert Counter(name for name, _ in picture) == Counter(list(classes()))
    for name, bases in picture:
        base = classes()[name].__base__
        assert base is not None
        assert base.__name__ in bases, name


def test_every_error_has_a_name_and_says_what_it_means() -> None:
    names = Counter(made.name for made in classes().values())
    assert [name for name, count in names.items() if count > 1] == []
    for made in classes().values():
        assert made.__doc__
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", made.name)
