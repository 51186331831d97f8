"""The page of an audit: sections, what each found, and what could not be looked at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page. `body` is Markdown.

    `findings` are sentences on what should not be so; `missing` those on what was not looked at,
    with the reason.
    """

    title: str
    body: str
    findings: Sequence[str] = ()
    missing: Sequence[str] = ()

    @property
    def outcome(self) -> str:
        """For the summary, in a few words."""
        if self.findings:
            return f"**{len(self.findings)} found**"
        return "not all looked at" if self.missing else "nothing found"


@dataclass(frozen=True, slots=True)
class Page:
    """All of an audit; `facts` are names and values about the machine and the sources."""

    day: str
    facts: Sequence[tuple[str, str]]
    sections: list[Section] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether any section found something."""
        return any(section.findings for section in self.sections)

    def markdown(self) -> str:
        """The whole page."""
        parts = [
            f"# Audit of {self.day}",
            table(("", ""), self.facts),
            table(
                ("section", "outcome"),
                ((section.title, section.outcome) for section in self.sections),
            ),
        ]
        for section in self.sections:
            parts.append(f"## {section.title}")
            parts += _list("Found:", section.findings)
            parts += _list("Not looked at:", section.missing)
            parts.append(section.body)
        return "\n\n".join(part for part in parts if part) + "\n"


def _list(heading: str, sentences: Sequence[str]) -> list[str]:
    return ["\n".join([heading, "", *(f"- {one}" for one in sentences)])] if sentences else []


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown; nothing if there are no rows."""
    lines = [_row(row) for row in rows]
    if not lines:
        return ""
    return "\n".join([_row(headings), "|" + "---|" * len(headings), *lines])


def _row(cells: Sequence[object]) -> str:
    told = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(told)} |"
