"""A supervised set of stand-in parts: `python -m tests.support.stand_in_set FOLDER`.

Each part writes its process id into the folder; `child` has a child of its own that would outlive it.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from infrastructure.embedded.console import Console
from infrastructure.embedded.part import Part, Stage, Timing
from infrastructure.embedded.supervisor import Supervisor

LASTS = """
import os, pathlib, signal, subprocess, sys
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
if "with-child" in sys.argv:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    (folder / "grandchild.pid").write_text(str(child.pid))
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("hello from", name, flush=True)
fresh = folder / f"{name}.new"
fresh.write_text(str(os.getpid()))
fresh.rename(folder / f"{name}.pid")
signal.pause()
"""


def lasting(folder: Path, name: str, *words: str, after: tuple[str, ...] = (), is_vital: bool = False) -> Part:
    """A part that is ready once it has written its process id."""
    pid_file = folder / f"{name}.pid"
    return Part(
        name=name,
        argv=[sys.executable, "-c", LASTS, str(folder), name, *words],
        after=after,
        is_vital=is_vital,
        says_on_death=": the whole set starts again" if is_vital else "",
        before_start=functools.partial(pid_file.unlink, missing_ok=True),
        is_ready=pid_file.exists,
    )


def main(folder: Path, *words: str) -> int:
    """Run the set. `deaf` makes a part that ignores SIGTERM, `failing` a step that fails."""
    step = "sys.exit(7)" if "failing" in words else "print('migrated')"
    parts = [
        lasting(folder, "base", is_vital=True),
        Part(name="step", argv=[sys.executable, "-c", f"import sys; {step}"], is_step=True),
        lasting(folder, "child", "with-child", after=("base", "step")),
        lasting(folder, "last", *words, after=("base", "step")),
    ]
    console = Console(sys.stdout, [part.name for part in parts], in_colour=False)
    supervisor = Supervisor(
        parts,
        plan=[
            Stage(names=["last"], within_s=0.5),
            Stage(names=["sweep"], argv=[sys.executable, "-c", "print('swept')"], within_s=5, says="sweeping"),
            Stage(names=["child"], within_s=5),
            Stage(names=["base"], within_s=5),
        ],
        environ=lambda: {"PATH": os.defpath},
        folder=folder,
        console=console,
        when_complete=lambda: console.plain("complete"),
        timing=Timing(restart_within_s=0.3, slow_start_s=5),
    )
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
