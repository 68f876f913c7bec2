"""Recipes of docs/extending.md, followed in a copy of the checkout: each code block is a file or a change of one."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
EXTENDING = ROOT / "docs" / "extending.md"

_FENCED = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (?P<path>[\w/.-]+)")
_CHANGE = "diff"
_NEXT = "@@"
_REST = "..."
#: What a copy can do without.
_LEFT_OUT = (".*", "__pycache__", "*.pyc")


class RecipeError(Exception):
    """A block cannot be followed: the recipe is not up with the code."""


class Block(NamedTuple):
    """A code block: a file as a whole, or changes of one that is there."""

    path: str
    is_change: bool
    body: str


def blocks_of(text: str, title: str) -> list[Block]:
    """The code blocks under this heading. Raises RecipeError for one that does not begin with its file."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise RecipeError(f"there is no recipe {title}")
    blocks = []
    for fenced in _FENCED.finditer(found[1]):
        first, _, body = textwrap.dedent(fenced["body"]).partition("\n")
        named = _NAMED.fullmatch(first)
        if named is None:
            raise RecipeError(f"{title}: a code block begins with {first!r}, and not with its file")
        blocks.append(Block(named["path"], fenced["kind"] == _CHANGE, body))
    return blocks


def copy_of_checkout(to: Path) -> Path:
    """All that is needed to test what was changed there."""
    return Path(shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*_LEFT_OUT)))


def follow(blocks: Sequence[Block], root: Path) -> None:
    """Do what they say, in their order. Raises RecipeError for what is not as a block says."""
    for block in blocks:
        path = root / block.path
        if block.is_change:
            if not path.is_file():
                raise RecipeError(f"{block.path} is not there")
            path.write_text(changed(path.read_text(), block))
        elif path.exists():
            raise RecipeError(f"{block.path} is there already")
        else:
            path.write_text(block.body)


def changed(text: str, block: Block) -> str:
    """The file's text after the block's changes. Raises RecipeError where the lines before it are not there once."""
    for hunk in re.split(rf"^{_NEXT}\n", block.body, flags=re.MULTILINE):
        lines = hunk.splitlines()
        before = [line[1:] for line in lines if line[:1] != "+"]
        after = [line[1:] for line in lines if line[:1] != "-"]
        if not before or before == after or any(line[:1] not in ("", " ", "+", "-") for line in lines):
            raise RecipeError(f"{block.path}: no change: {hunk!r}")
        found = list(re.finditer("\n".join(map(_pattern, before)), text, re.MULTILINE))
        if len(found) != 1:
            raise RecipeError(f"{block.path}: there {len(found)} times, and not once: {before}")
        [place] = found
        if sum(map(_rests, before)) != sum(map(_rests, after)):
            raise RecipeError(f"{block.path}: what {_REST} stands for is not the same before and after: {before}")
        rests = iter(place.groups())
        filled = "".join(f"{_filled(line, rests)}\n" for line in after)
        text = text[: place.start()] + filled + text[place.end() + 1 :]
    return text


def _pattern(line: str) -> str:
    """What finds the line in a file; `...` at one of its ends is whatever is there."""
    start, middle, end = _parts(line)
    return f"^{'(.*)' if start else ''}{re.escape(middle)}{'(.*)' if end else ''}$"


def _filled(line: str, rests: Iterator[str]) -> str:
    start, middle, end = _parts(line)
    return f"{next(rests) if start else ''}{middle}{next(rests) if end else ''}"


def _rests(line: str) -> int:
    start, _, end = _parts(line)
    return start + end


def _parts(line: str) -> tuple[bool, str, bool]:
    """Whether `...` is at its start, what is between, whether it is at its end."""
    start, end = line.startswith(f"{_REST} "), line.endswith(_REST)
    return start, line[len(_REST) + 1 if start else 0 : -len(_REST) if end else None], end
