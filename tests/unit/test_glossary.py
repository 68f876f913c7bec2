"""The documents keep up with the code: every status, reason and word is told, every setting has its row."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from app.domain.channel import CHANNELS
from app.domain.lane import Priority
from app.domain.outcome import OpenReason, Reason, Status
from app.settings import Settings
from manage import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WORDS = ("event", "notification", "delivery", "lane", "batch", "pass", "attempt", "claim", "outcome", "final", "parked")
SECTIONS = {Status: "States and statuses", Reason: "Reasons", OpenReason: "Open deliveries"}
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def section(title: str) -> str:
    """The part of the architecture under this heading, up to the next."""
    text = (DOCS / "architecture.md").read_text()
    return re.split(r"^#+ ", text.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """What the first column of the text's tables says, without marks."""
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    return [cell.strip("`*") for cell in rows if cell[:1] in ("`", "*")]


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_status_and_reason_has_its_row_and_no_other_has(kind: type[StrEnum]) -> None:
    assert sorted(first_cells(section(SECTIONS[kind]))) == sorted(kind)


def test_every_word_is_in_the_glossary_once() -> None:
    words = first_cells((DOCS / "glossary.md").read_text())
    assert len(words) == len(set(words))
    assert set(WORDS) <= set(words)


@pytest.mark.parametrize("names", [[spec.name for spec in CHANNELS], list(Priority)], ids=["channels", "priorities"])
def test_every_channel_and_priority_is_in_the_glossary(names: list[str]) -> None:
    text = (DOCS / "glossary.md").read_text()
    assert not [name for name in names if not re.search(rf"\b{name}\b", text)]


def test_every_setting_has_its_row_and_no_other_has() -> None:
    defaults = Settings().as_environ()
    wanted = [
        f"| `{variable}` | {f'`{defaults[variable]}`' if defaults[variable] else ''} | {meaning} |"
        for variable, _, meaning in Settings().items()
    ]
    shown = [line for line in (DOCS / "settings.md").read_text().splitlines() if line.startswith("| `NOTIFY_")]
    assert "\n".join(shown) == "\n".join(wanted)


def test_every_listed_command_is_in_the_readme() -> None:
    cells = " ".join(first_cells((ROOT / "README.md").read_text()))
    listed = [name for name, entry in COMMANDS.items() if entry.text]
    assert not [name for name in listed if not re.search(rf"\b{name}\b", cells)]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in DOCS.glob("*.md"))])
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target, fragment in LINK.findall(path.read_text()):
        found = path.parent / target if target else path
        assert found.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            assert fragment in map(anchor, headings), f"{target}#{fragment}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in DOCS.glob("*.md"))])
def test_every_file_that_is_named_is_there(page: str) -> None:
    named = re.findall(r"`((?:app|bridges|tasks|infrastructure|tests)/[\w/.-]+\.\w+)`", (ROOT / page).read_text())
    assert not [name for name in named if not (ROOT / name).exists()]
