"""docs/extending.md proves itself: its recipes, followed in a copy of the checkout, give what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.recipes import EXTENDING, blocks_of, copy_of_checkout, follow

#: What tells whoever adds something that a step was forgotten.
GUARDS = (
    "tests/integration/test_commands_users_history.py",
    *(f"tests/unit/test_{name}.py" for name in ("glossary", "imports", "provider_file", "simulator", "user_rules")),
)
LONGEST_S = 200


def run(root: Path, tool: str, *arguments: str) -> str:
    """What the tool says there; it has to be content."""
    argv = [sys.executable, "-m", tool, *arguments]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


@pytest.mark.parametrize(("title", "name"), [("Add a channel", "letter"), ("Add a provider to a channel", "acme")])
def test_who_follows_a_recipe_gets_what_it_says(tmp_path: Path, title: str, name: str) -> None:
    blocks = blocks_of(EXTENDING.read_text(), title)
    root = copy_of_checkout(tmp_path / "checkout")
    follow(blocks, root)
    code = sorted({block.path for block in blocks if block.path.endswith(".py")})
    made = [block.path for block in blocks if block.path.endswith(".py") and not block.is_change]
    assert made
    # PLR0911, E501: one more branch or member may be the one that asks for another form of what is there.
    run(root, "ruff", "check", "--no-cache", "--ignore", "PLR0911,E501", *code)
    run(root, "ruff", "format", "--no-cache", "--check", *made)
    tests = [path for path in code if path.startswith("tests/")]
    chosen = " or ".join([name, *(Path(guard).stem for guard in GUARDS)])
    shown = run(root, "pytest", "-v", "-p", "no:cacheprovider", "-k", chosen, *tests, *GUARDS)
    for path in tests:
        assert re.search(rf"^{re.escape(path)}::.*PASSED", shown, re.MULTILINE), f"none of {path} was run"
