"""Task events of steps that run in place: the worker's parent process sends them for messages only."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

_log = structlog.get_logger()
_RESULT = "'ok'"
#: Events kept before they are sent although the chain goes on.
_BUFFER = 100


class _Running(NamedTuple):
    host: str
    started_at: float


class StepEvents:
    """Sends what Flower needs to show a step, buffered and with one publish a chain."""

    def __init__(self) -> None:
        self._dispatcher: Any = None
        self._running: dict[str, _Running] = {}

    def started(self, app: Celery, name: str, request: dict[str, Any]) -> None:
        """A step begins."""
        if not app.conf.worker_send_task_events:
            return
        task_id = request["id"]
        self._running[task_id] = _Running(request["hostname"], time.monotonic())
        about = {"root_id": request["root_id"], "parent_id": request["parent_id"]}
        texts = {"args": request["argsrepr"], "kwargs": "{}", "retries": 0, "eta": None, "expires": None}
        self._send(app, task_id, "task-received", name=name, **about, **texts)
        self._send(app, task_id, "task-started")

    def ended(self, app: Celery, task_id: str, *, has_failed: bool = False) -> None:
        """A step has ended, or handed on to the next: where it runs in place, its end is sent, once."""
        running = self._running.get(task_id)
        if running is None:
            return
        if has_failed:
            self._send(app, task_id, "task-failed", exception="StepError", traceback="")
        else:
            runtime_s = time.monotonic() - running.started_at
            self._send(app, task_id, "task-succeeded", result=_RESULT, runtime=runtime_s)
        del self._running[task_id]

    def flush(self) -> None:
        """Publish what is buffered; lost events are no harm."""
        if self._dispatcher is not None:
            try:
                self._dispatcher.flush()
            except (OperationalError, OSError) as error:
                self._give_up(error)

    def _send(self, app: Celery, task_id: str, kind: str, **fields: Any) -> None:
        try:
            if self._dispatcher is None:
                host = self._running[task_id].host
                self._dispatcher = app.events.Dispatcher(
                    app.connection_for_write(), hostname=host, buffer_group={"task"}, buffer_limit=_BUFFER
                )
            self._dispatcher.send(kind, uuid=task_id, **fields)
        except (OperationalError, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        _log.debug("step_events_lost", error=type(error).__name__)
        self._dispatcher = None
