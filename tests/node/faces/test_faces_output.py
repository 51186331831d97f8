"""What people read: amounts, times, tables and bars."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from node.faces.cli import bars, output
from node.faces.cli.bars import Bar, columns, follow
from protocol.texts.amounts import counted


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes(count: float | None, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((None, "-"), (0, "0 ms"), (0.004, "4 ms"), (0.1, "0.10 s"), (59.994, "59.99 s")),
        *((59.996, "1 min"), (63, "1 min 3 s"), (119.7, "2 min"), (3599.4, "59 min 59 s")),
        *((3599.6, "1 h"), (3660, "1 h 1 min"), (86399, "1 day"), (86400, "1 day")),
        *((90_000, "1 day 1 h"), (3 * 86400, "3 days"), (3 * 86400 - 1, "3 days")),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert output.duration(seconds) == text


def test_counts_have_their_noun() -> None:
    assert [counted(count, "file") for count in (0, 1, 2)] == [
        "0 files",
        "1 file",
        "2 files",
    ]


def test_tables_align_and_never_shorten(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(("A", "B"), [("x" * 300, 1), ("y", "2\x1b")], empty="none")
    assert capsys.readouterr().out.splitlines() == [
        "A" + " " * 301 + "B",
        "x" * 300 + "  1",
        "y" + " " * 301 + "2?",
    ]
    output.show_table(("A",), [], empty="none")
    assert capsys.readouterr().out == "none\n"


def told(stage: str, done: int, sources: int = 0) -> dict[str, Any]:
    return {"stage": stage, "bytes_total": 100, "bytes_done": done, "sources": sources}


def test_the_bar_follows_a_stream_from_stage_to_stage_and_rests() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    seen: list[tuple[bool, str, float, str]] = []
    with Progress(TextColumn("{task.description}"), console=console) as bars:
        bar = Bar(bars)

        def look() -> None:
            (task,) = bars.tasks
            seen.append((task.visible, task.description, task.completed, task.fields["sources"]))

        def lines() -> Iterator[dict[str, Any]]:
            look()
            yield {"progress": None}
            for progress in (told("finding", 0), told("chunks", 60, 1), told("files", 10, 2)):
                yield {"progress": progress}
                look()
            yield {"result": {"files": 3}}

        assert follow(lines(), bar) == {"files": 3}
        look()
    assert seen == [
        (False, "", 0, ""),
        (True, "Looking for sources", 0, ""),
        (True, "Fetching", 60, "from 1 source"),
        (True, "Writing files", 10, "from 2 sources"),
        (False, "Writing files", 10, "from 2 sources"),
    ]


def test_a_bar_shows_no_question_marks() -> None:
    out, seconds = io.StringIO(), iter(range(1000))
    console = Console(file=out, width=120)
    with Progress(
        *columns(), console=console, auto_refresh=False, get_time=lambda: next(seconds)
    ) as bars:
        bar = Bar(bars)

        def shown(progress: dict[str, Any]) -> str:
            bar.show(progress)
            out.truncate(out.seek(0))
            console.print(bars.get_renderable())
            return out.getvalue()

        begun, first, second = (
            shown(told("chunks", done, 1) | {"bytes_per_second": done // 2, "left_s": 2})
            for done in (0, 30, 60)
        )
        unsized = shown({**told("finding", 0), "bytes_total": 0})
    for text in (begun, first, second, unsized):
        assert "?" not in text
        assert "-:--" not in text
    assert "bytes" not in begun + unsized
    assert "30/100 bytes" in first
    assert "60/100 bytes" in second
    assert "30 B/s, 2.00 s left" in second


@pytest.mark.parametrize("quiet", [False, True])
def test_without_a_terminal_a_line_each_30_s_says_how_far_the_work_is(
    capsys: pytest.CaptureFixture[str], *, quiet: bool
) -> None:
    seconds = 0.0
    bar = Bar(quiet=quiet, now=lambda: seconds)
    for second in range(100):
        seconds = float(second)
        bar.show(told("chunks", second, 1) | {"bytes_per_second": 2000, "left_s": 100 - second})
    bar.rest()
    lines = [f"Fetching: {done} %, 2.0 kB/s, {left} left." for done, left in _FAR]
    assert capsys.readouterr().err.splitlines() == ([] if quiet else lines)


_FAR = ((30, "1 min 10 s"), (60, "40.00 s"), (90, "10.00 s"))


def test_work_whose_size_is_not_known_is_told_in_words_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([0.0, 40.0, 41.0])
    Bar(now=lambda: next(times)).show({**told("finding", 0), "bytes_total": 0})
    assert capsys.readouterr().err == "Looking for sources.\n"


def test_searches_during_a_wait_are_no_lines_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A source that comes and brings nothing ends no wait either."""
    waiting = {**told("waiting", 5), "waiting_for": ["p1"], "lost": 1}
    shown = bars.Bar()
    for left_s in range(300, 290, -1):
        shown.show(waiting | {"wait_left_s": float(left_s)})
        shown.show({**told("finding", 0), "holders": 1})
        shown.show(told("chunks", 5, 1))
    assert capsys.readouterr().err.count("\n") == 1
    shown.show(told("chunks", 6, 1))
    shown.show(waiting | {"bytes_done": 6, "wait_left_s": 300.0})
    assert capsys.readouterr().err.count("Waiting for p1") == 1


def test_that_a_node_has_just_started_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    finding = {**told("finding", 0), "bytes_total": 0}
    shown = bars.Bar()
    for left_s in (9.7, 9.4, 8.9):
        shown.show(finding | {"wait_left_s": left_s})
        shown.show(finding)
    line = "No source is found yet; as this node has just started, it looks on for 10.00 s.\n"
    assert capsys.readouterr().err == line


def test_what_goes_on_is_told_in_words() -> None:
    finding = {"stage": "finding", "holders": 3, "linking": 2, "linking_with": "p1"}
    assert bars.words_for(finding | {"holders": 0}) == "Looking for sources"
    assert bars.words_for(finding) == "3 peers known to share it; linking with p1 and 1 more"
    waiting = {"stage": "waiting", "waiting_for": ["p1", "p2"], "lost": 4, "wait_left_s": 290.4}
    words = "Waiting for p1, 3 more or another source, 4 min 51 s more"
    assert bars.words_for(waiting) == words


def test_a_wait_is_told_once_where_no_bar_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {
        **told("waiting", 5),
        "waiting_for": ["p1"],
        "lost": 1,
        "wait_left_s": 300.0,
    }
    for quiet, times in ((False, 1), (True, 0)):
        shown = bars.Bar(quiet=quiet)
        for left_s in (300.0, 299.0):
            shown.show(waiting | {"wait_left_s": left_s})
        said = capsys.readouterr().err
        assert said.count("Waiting for p1 or another source, 5 min more") == times
        assert said.count("the same command goes on from there") == times


def test_while_nothing_comes_a_bar_shows_no_speed_of_the_past() -> None:
    out, seconds = io.StringIO(), iter(range(1000))
    console = Console(file=out, width=120)
    with Progress(
        *columns(), console=console, auto_refresh=False, get_time=lambda: next(seconds)
    ) as shown:
        bar = Bar(shown)
        for done, silent_s in ((0, 0), (30, 0), (60, 1), (60, 7)):
            rate = {"bytes_per_second": 0 if silent_s > 1 else done, "left_s": None}
            bar.show(told("chunks", done, 1) | {"silent_s": silent_s} | rate)
            out.truncate(out.seek(0))
            console.print(shown.get_renderable())
            assert ("B/s" in out.getvalue()) is (done > 0 and silent_s < 2)
        assert "Fetching; nothing has come for 7.00 s" in out.getvalue()


def test_without_a_bar_it_is_said_once_that_nothing_comes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for quiet, times in ((False, 2), (True, 0)):
        shown = bars.Bar(quiet=quiet)
        for silent_s in (0, 4, 5, 6, 0, 4, 5):
            shown.show(told("chunks", 5, 1) | {"silent_s": silent_s})
        said = capsys.readouterr().err
        assert said.count("Fetching; nothing has come for 5.00 s.\n") == said.count("\n") == times


def test_a_wait_that_is_nearly_over_is_told_as_a_second() -> None:
    waiting = {"stage": "waiting", "waiting_for": ["p1"], "lost": 1, "wait_left_s": 0.3}
    assert "source, 1.00 s more" in bars.words_for(waiting)
