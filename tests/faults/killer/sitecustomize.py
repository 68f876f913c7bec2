"""On a worker's PYTHONPATH: rendering a text that holds the marker kills the process, as a fault of a library would."""

from __future__ import annotations

import os
import signal
import sys
from importlib.machinery import ModuleSpec, PathFinder

MARKER = "this one kills whoever renders it"
_MODULE = "infrastructure.channels.rendering"


class _Finder:
    """Lets the module be imported as ever, then puts the fault into it."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def load_and_break(module: object) -> None:
            load(module)
            _break(module.Renderer)

        spec.loader.exec_module = load_and_break
        return spec


def _break(renderer: type) -> None:
    render = renderer.render

    def render_or_die(self: object, *arguments: object) -> object:
        rendered = render(self, *arguments)
        if any(MARKER in part for part in rendered):
            os.kill(os.getpid(), signal.SIGKILL)
        return rendered

    renderer.render = render_or_die


sys.meta_path.insert(0, _Finder)
