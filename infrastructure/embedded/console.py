"""What the supervisor shows: the parts' own lines and its own, each with the name of the part before it."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from typing import Final, TextIO

COLOURS: Final = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
BOLD: Final = "1"
OWN_NAME: Final = "up"
#: A longer line is cut into pieces of this many bytes.
MAX_LINE_BYTES: Final = 16 * 1024


class Console:
    """Prefixed lines on one stream. Once the stream is gone (`is_gone`), lines are dropped."""

    def __init__(self, stream: TextIO, names: list[str], *, in_colour: bool) -> None:
        self._stream = stream
        self._width = max(map(len, [*names, OWN_NAME]))
        self._colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)} if in_colour else {}
        if in_colour:
            self._colours[OWN_NAME] = BOLD
        self.is_gone = False

    def say(self, text: str) -> None:
        """A line of the supervisor itself."""
        self.show(OWN_NAME, text)

    def show(self, name: str, line: str) -> None:
        """A line of a part."""
        prefix = f"{name:{self._width}} |"
        if name in self._colours:
            prefix = f"\x1b[{self._colours[name]}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {line}")

    def plain(self, text: str) -> None:
        """Text as it is."""
        if self.is_gone:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self.is_gone = True


class Output:
    """What one process writes, cut into lines and shown as it comes."""

    def __init__(self, name: str, descriptor: int, console: Console) -> None:
        os.set_blocking(descriptor, False)
        self.name = name
        self.descriptor = descriptor
        self._console = console
        self._rest = b""

    def pump(self) -> bool:
        """Show what has come; False once there will be no more."""
        try:
            chunk = os.read(self.descriptor, MAX_LINE_BYTES)
        except BlockingIOError:
            return True
        for line in self._lines(chunk):
            self._console.show(self.name, line.decode(errors="replace").rstrip())
        return bool(chunk)

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        yield from whole
        if self._rest and (not chunk or len(self._rest) >= MAX_LINE_BYTES):
            yield self._rest
            self._rest = b""


class Outputs:
    """The outputs of all processes, and the pipe that signals wake the supervisor through."""

    def __init__(self, console: Console, wakeup: int) -> None:
        self._console = console
        self._selector = selectors.DefaultSelector()
        self._selector.register(wakeup, selectors.EVENT_READ, None)

    def add(self, name: str, descriptor: int) -> None:
        """Follow one more process."""
        self._selector.register(descriptor, selectors.EVENT_READ, Output(name, descriptor, self._console))

    def pump(self, timeout_s: float) -> None:
        """Show what comes until something has, a signal arrives or the time is over."""
        for key, _ in self._selector.select(timeout_s):
            if not isinstance(key.data, Output):
                os.read(key.fd, MAX_LINE_BYTES)
            elif not key.data.pump():
                self._selector.unregister(key.fd)
                os.close(key.fd)

    def close(self) -> None:
        """Forget all of them."""
        self._selector.close()
