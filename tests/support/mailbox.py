"""The embedded mailbox as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

START_S = 10.0
_RUN = """
from app.settings import settings
from infrastructure.embedded.mailbox import run_mailbox
run_mailbox(settings())
"""


class Mailbox:
    """A mailbox that runs, and what a client asks of it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.smtp_port, self.page_port = free_port(), free_port()
        given = {
            "NOTIFY_STATE_DIR": str(folder),
            "NOTIFY_SMTP_BIND": f"127.0.0.1:{self.smtp_port}",
            "NOTIFY_MAILBOX_BIND": f"127.0.0.1:{self.page_port}",
        }
        self.environ = {"PATH": os.defpath, "PYTHONPATH": str(Path.cwd())} | given | settings
        self.process: subprocess.Popen[str] | None = None

    @property
    def smtp_url(self) -> str:
        return f"smtp://127.0.0.1:{self.smtp_port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = [sys.executable, "-W", "error", "-c", _RUN]
        self.process = subprocess.Popen(
            argv, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        until_s = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(self.stop())
            time.sleep(0.02)

    def stop(self) -> str:
        """SIGTERM; what it printed."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.communicate(timeout=5.0)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise

    def open(self, path: str, method: str = "GET") -> Any:
        """The response, whatever its status is not."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.page_port}{path}", method=method)
        return urllib.request.urlopen(request, timeout=5.0)  # noqa: S310 - our own

    def get(self, path: str, method: str = "GET") -> Any:
        """The JSON of an answer."""
        with self.open(path, method) as response:
            return json.load(response)

    def text(self, path: str) -> str:
        """The text of an answer."""
        with self.open(path) as response:
            body: bytes = response.read()
            return body.decode()

    def _answers(self) -> bool:
        try:
            self.get("/api/messages?limit=1")
        except OSError:
            return False
        return True


@contextmanager
def running_mailbox(folder: Path, **settings: str) -> Iterator[Mailbox]:
    """A mailbox in this folder."""
    box = Mailbox(folder, **settings)
    box.start()
    try:
        yield box
    finally:
        if box.process is not None and box.process.poll() is None:
            box.stop()
