"""A process that has written to the history and forks: `python -m tests.support.forking_history URL FOLDER`.

Prints the ids of what its child wrote and of what it wrote itself afterwards. A process of its own, for tests have
threads of many kinds, any of which may hold a lock while one of them forks.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import uuid

from app.domain.errors import StoreUnavailableError
from app.domain.outcome import Outcome, Status
from app.settings import Settings
from infrastructure import wiring
from tests.support.cassandra_service import PATIENT_S


def write(settings: Settings, name: str) -> str:
    """Append an outcome as soon as that can be done; its notification's id."""
    one = Outcome(
        notification_id=f"{name}-{uuid.uuid4()}", user_id="anna", event_type="news", status=Status.SENT, at_ms=1
    )
    deadline = time.monotonic() + PATIENT_S
    while True:
        try:
            wiring.history(settings).append([one])
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return one.notification_id


def main(url: str, folder: str) -> int:
    """Write, fork, write in the child, and again in the parent; the exit code is the child's."""
    settings = dataclasses.replace(
        Settings(),
        history_url=url,
        database_url=f"sqlite:///{folder}/main.db",
        secret_key="secret",
        store_timeout_s=5.0,
    )
    write(settings, "parent")
    child = os.fork()
    if not child:
        wiring.dispose_after_fork()
        print(write(settings, "child"), flush=True)  # noqa: T201 - read by the test
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(write(settings, "again"), flush=True)  # noqa: T201 - read by the test
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
