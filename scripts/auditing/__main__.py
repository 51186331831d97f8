"""Audit this checkout and write one dated page: `./scripts/audit [--out FILE]`.

What is found or cannot be looked at stands in the page; the status is 1 if anything was found.
"""

import argparse
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from node.machine import streams
from scripts.auditing import advisories, attackers, dtls, fresh_node, programs
from scripts.auditing.page import Page, Section

_FUZZ_S = 120


def main() -> None:
    """Parse, look at everything, write."""
    parser = argparse.ArgumentParser(prog="audit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="the page (default: audit-DATE.md, here)")
    parser.add_argument("--fuzz-seconds", type=int, default=_FUZZ_S, metavar="N", help="of fuzzing")
    sections: dict[str, Callable[[argparse.Namespace], Section]] = {
        "versions": lambda _: advisories.section(),
        "dtls": lambda _: dtls.section(),
        "node": lambda _: fresh_node.section(),
        "attackers": lambda _: attackers.section(),
        "costs": lambda _: programs.costs(),
        "fuzzing": lambda given: programs.fuzzing(given.fuzz_seconds),
    }
    parser.add_argument(
        "--only", nargs="+", choices=sections, default=list(sections), help="these sections alone"
    )
    given = parser.parse_args()
    day = datetime.now(UTC).date().isoformat()
    page = Page(day, list(_facts(given.only, list(sections))))
    for name in given.only:
        print(f"Looking at: {name} ...", file=sys.stderr, flush=True)
        page.sections.append(sections[name](given))
    out = given.out or Path(f"audit-{day}.md")
    out.write_text(page.markdown(), encoding="utf-8")
    for section in page.sections:
        print(f"{section.title:<34} {section.outcome.strip('*')}")
    print(f"Written to {out}")
    sys.exit(page.found)


def _facts(chosen: list[str], all_of_them: list[str]) -> list[tuple[str, str]]:
    left_out = [name for name in all_of_them if name not in chosen]
    return [
        ("modswarm", metadata.version("modswarm")),
        ("commit", _commit()),
        ("machine", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("Python", platform.python_version()),
        *([("left out by `--only`", ", ".join(left_out))] if left_out else []),
    ]


def _commit() -> str:
    """The commit of the checkout, and whether files differ from it."""
    try:
        commit = programs.run(("git", "rev-parse", "HEAD"), 10).stdout.strip()
        changed = programs.run(("git", "status", "--porcelain"), 10).stdout.strip()
    except programs.NotRun:
        return "unknown"
    return (commit or "unknown") + (", with changes" if changed else "")


with streams.harmless():
    main()
