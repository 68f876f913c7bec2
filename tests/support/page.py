"""Parts of pages that runs write: between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path
from typing import Final

from tests.support.stack_client import ROOT

#: What makes a version of the product: all that runs.
PRODUCT: Final = (
    *("app", "bridges", "tasks", "infrastructure", "celeryconfig.py", "manage.py", "requirements.txt"),
    ":(exclude)infrastructure/services",  # beneath the product
    ":(exclude)app/capacity/measured.toml",  # written from what a version's measurements gave
)


def write_between(page: Path, name: str, text: str) -> None:
    """Put the text between the marks of this name. Fails where the page has none."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(start)}.*{re.escape(end)}", re.DOTALL)
    whole = page.read_text()
    assert pattern.search(whole), f"{page.name} has no {start}"
    page.write_text(pattern.sub(lambda _: f"{start}\n{text}\n{end}", whole))


def version() -> str:
    """The last commit that changed what runs."""
    found = _git("log", "-1", "--format=%h", "--", *PRODUCT).strip()
    return found + (" with changes" if _git("status", "--porcelain", "--", *PRODUCT) else "")


def machine() -> str:
    """The machine in a few words."""
    about = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", about)
    cores = len(re.findall(r"^processor", about, re.MULTILINE))
    return f"{cores} cores ({model[1] if model else platform.machine()}), all services on the same machine"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
