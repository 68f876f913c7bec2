"""Stand-ins for providers, each a process of its own (`stand_in_server`), so that they keep time under load."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).parents[2]
STOP_S = 5.0

Mode = Literal["accept", "refuse", "closed", "hang"]


class Taken(NamedTuple):
    """A yes of the provider. `at_s` is monotonic, on the clock of all processes."""

    at_s: float
    delivery_id: str
    recipient: str


class StandIn:
    """One provider: `kind` is smtp or webhook."""

    kind = ""

    def __init__(self, folder: Path) -> None:
        self._journal = folder / f"{self.kind}.journal"
        self._journal.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.stand_in_server", self.kind, str(self._journal)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C of a terminal is the tests' to handle
        )
        self.port = int(self._line())

    def turn(self, mode: Mode) -> None:
        """From now on accept, refuse for now, hang up on everybody, or hang."""
        self._tell(f"mode {mode}")

    def slow_down(self, delay_s: float) -> None:
        """Wait so long before each yes."""
        self._tell(f"delay {delay_s}")

    def taken(self) -> list[Taken]:
        """All that was accepted so far, in order of time."""
        whole = self._journal.read_text().rpartition("\n")[0]
        rows = (line.split(" ", 2) for line in whole.splitlines())
        return [Taken(float(at_s), delivery_id, recipient) for at_s, delivery_id, recipient in rows]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._line() == "ok"

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, f"the {self.kind} stand-in has ended"
        return line


class SmtpStandIn(StandIn):
    """An SMTP server. A delivery is known by its Message-ID."""

    kind = "smtp"

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


class WebhookStandIn(StandIn):
    """A receiver of webhooks. A delivery is known by its webhook-id."""

    kind = "webhook"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


class StandIns(NamedTuple):
    """The providers of a test."""

    smtp: SmtpStandIn
    webhook: WebhookStandIn

    def taken(self) -> list[Taken]:
        """What all of them accepted."""
        return [*self.smtp.taken(), *self.webhook.taken()]

    def all(self) -> Sequence[StandIn]:
        return (self.smtp, self.webhook)


@contextmanager
def stand_ins(folder: Path) -> Iterator[StandIns]:
    """Both, until the end of the block."""
    smtp = SmtpStandIn(folder)
    webhook = WebhookStandIn(folder)
    try:
        yield StandIns(smtp, webhook)
    finally:
        smtp.close()
        webhook.close()
