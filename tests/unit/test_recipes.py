"""What follows the recipes of docs/extending.md does what a block says, and stops where the code is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipes import Block, RecipeError, blocks_of, changed, follow

PAGE = """
# Extending

## Add a thing

1. A line:

   ```diff
   # things.py
    ONE = 1
   +TWO = 2
   ```

2. A file:

   ```python
   # more/new.py
   def new() -> None:

       return None
   ```

## Add another

Nothing.
"""
CODE = "ONE = 1\nNAMES = one | two | three\nEND = 9\n"


def change(body: str) -> str:
    return changed(CODE, Block("things.py", True, body))


def test_the_blocks_of_a_recipe_are_found_with_their_files() -> None:
    assert blocks_of(PAGE, "Add a thing") == [
        Block("things.py", True, " ONE = 1\n+TWO = 2\n"),
        Block("more/new.py", False, "def new() -> None:\n\n    return None\n"),
    ]
    assert blocks_of(PAGE, "Add another") == []


def test_a_block_without_a_file_and_a_recipe_that_is_not_there_are_refused() -> None:
    with pytest.raises(RecipeError, match="begins with 'ONE = 1'"):
        blocks_of(PAGE.replace("# things.py\n    ", ""), "Add a thing")
    with pytest.raises(RecipeError, match="Add nothing"):
        blocks_of(PAGE, "Add nothing")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (" ONE = 1\n+TWO = 2\n", "ONE = 1\nTWO = 2\nNAMES = one | two | three\nEND = 9\n"),
        ("+ZERO = 0\n ONE = 1\n", "ZERO = 0\nONE = 1\nNAMES = one | two | three\nEND = 9\n"),
        ("-NAMES = one | ...\n+NAMES = zero | one | ...\n", CODE.replace("= one", "= zero | one")),
        ("-... two | three\n+... three\n", CODE.replace("two | three", "three")),
        ("-ONE = 1\n@@\n-END = 9\n+END = 10\n", "NAMES = one | two | three\nEND = 10\n"),
        (" NAMES = ...\n+TEN = 10\n END = 9\n", CODE.replace("END", "TEN = 10\nEND")),
    ],
    ids=["after", "before", "rest of a line", "start of a line", "two places", "between"],
)
def test_a_change_is_made(body: str, expected: str) -> None:
    assert change(body) == expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (" TWO = 2\n+THREE = 3\n", "things.py: there 0 times"),
        (" ...\n+THREE = 3\n", "times, and not once"),
        (" ONE = 1\n", "no change"),
        ("+TWO = 2\n", "no change"),
        ("ONE = 1\n+TWO = 2\n", "no change"),
        (" ONE =\n+TWO = 2\n", "there 0 times"),
        ("-NAMES = ...\n+NAMES = one\n", "not the same before and after"),
    ],
    ids=["not there", "more than once", "nothing new", "nowhere", "no mark", "a part of a line", "a rest is lost"],
)
def test_what_does_not_fit_is_refused(body: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        change(body)


def test_files_are_made_and_changed_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "things.py").write_text(CODE)
    blocks = blocks_of(PAGE, "Add a thing")
    follow(blocks, tmp_path)
    assert (tmp_path / "things.py").read_text().startswith("ONE = 1\nTWO = 2\n")
    assert (tmp_path / "more" / "new.py").read_text() == blocks[1].body
    with pytest.raises(RecipeError, match=r"more/new\.py is there already"):
        follow(blocks[1:], tmp_path)
    with pytest.raises(RecipeError, match=r"nothing\.py is not there"):
        follow([Block("nothing.py", True, " a\n+b\n")], tmp_path)
