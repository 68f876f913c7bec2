"""A function that is run from one pause to the next, so that a test decides what happens in between."""

from __future__ import annotations

import threading
from collections.abc import Callable


class KilledError(BaseException):
    """The end of a process, as the code in it meets it: no `except Exception` sees it."""


class Stepwise:
    """`body` in a thread of its own. Only one side ever runs: the caller waits while the body does, and the reverse.

    The body gets on only by `resume`, and stops by `pause`.
    """

    def __init__(self, body: Callable[[], None]) -> None:
        self.is_over = False
        self._body = body
        self._is_killed = False
        self._error: BaseException | None = None
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Run to the next pause, or to the end. Raises what the body did not catch."""
        self._go.release()
        self._back.acquire()
        if self.is_over:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def kill(self) -> None:
        """End it where it stands."""
        if not self.is_over:
            self._is_killed = True
            self.resume()

    def pause(self) -> None:
        """Called by the body: wait for `resume`."""
        self._back.release()
        self._go.acquire()
        if self._is_killed:
            raise KilledError

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._is_killed:
                self._body()
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the body was resumed
            self._error = error
        self.is_over = True
        self._back.release()
