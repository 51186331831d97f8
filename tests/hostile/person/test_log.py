"""Peers that make a node log: neither the log, nor the memory, nor the person's terminal fills."""

import asyncio
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from node.faces import log
from node.faces.log import LineBudget, PrintableFormatter
from node.tasks import TaskOwner
from protocol import limits

FAILURES = 5000


@contextmanager
def logged_to(name: str) -> Iterator[io.StringIO]:
    """What a node's log gets of one logger."""
    handler, logger = logging.StreamHandler(io.StringIO()), logging.getLogger(name)
    handler.setFormatter(PrintableFormatter())
    handler.addFilter(LineBudget())
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    try:
        yield handler.stream
    finally:
        logger.propagate = propagates
        logger.removeHandler(handler)


async def failing() -> None:
    raise ZeroDivisionError("what a peer sent")


async def test_a_defect_that_peers_trigger_fills_neither_log_nor_memory() -> None:
    owner = TaskOwner("attacked")
    with logged_to("node.tasks") as told:
        for _ in range(FAILURES):
            owner.start(failing(), name="serve")
            await asyncio.sleep(0.001)
    assert told.getvalue().count("attacked: serve failed") == limits.LOG_LINES
    assert len(owner.defects) == limits.DEFECTS_KEPT
    await owner.close()


def record(message: str, at: float, line: int = 1) -> logging.LogRecord:
    made = logging.LogRecord("node", logging.WARNING, "pack.py", line, message, ("x",), None)
    made.created = at
    return made


def test_a_place_logs_so_much_in_a_minute_and_then_tells_of_the_rest() -> None:
    budget = LineBudget()
    passed = [one for one in range(FAILURES) if budget.filter(record("bad %s", 0.001 * one))]
    assert passed == list(range(limits.LOG_LINES))
    assert budget.filter(record("other %s", 5.0, line=2))
    later = record("bad %s", limits.LOG_PERIOD_S)
    assert budget.filter(later)
    left_out = FAILURES - limits.LOG_LINES
    assert later.getMessage() == f"bad x ({left_out} more like this left out)"
    after = record("bad %s", 2 * limits.LOG_PERIOD_S)
    assert budget.filter(after)
    assert after.getMessage() == "bad x"


def test_the_places_that_are_counted_are_bounded() -> None:
    budget = LineBudget()
    for line in range(3 * limits.LOG_PLACES):
        assert budget.filter(record("bad %s", 0.0, line))
    assert len(budget._places) <= limits.LOG_PLACES


def test_a_peers_words_begin_no_line_and_steer_no_terminal() -> None:
    with logged_to("node.some_link") as told:
        words = "bye\n2026-11-27 ERROR node: your key is lost\x1b[2J\x9b1m"
        logging.getLogger("node.some_link").warning("link ended: %s", words)
        try:
            raise ValueError(words)
        except ValueError:
            logging.getLogger("node.some_link").exception("a frame could not be handled")
    text = told.getvalue()
    assert text.splitlines()[0].endswith("bye?2026-11-27 ERROR node: your key is lost?[2J?1m")
    assert not {"\x1b", "\x9b", "\r"} & set(text)
    assert "Traceback" in text


def test_a_running_node_logs_so() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    node_level = logging.getLogger("node").level
    try:
        for verbose, bounded in ((0, True), (1, True), (2, False)):
            root.handlers[:] = []
            log.log_to_stderr(verbose)
            (handler,) = root.handlers
            assert isinstance(handler.formatter, PrintableFormatter)
            assert any(isinstance(one, LineBudget) for one in handler.filters) is bounded
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.getLogger("node").setLevel(node_level)
