"""The Task class of all steps: a step that follows on the same queue runs at once, in the same child.

Celery hands the next step of a chain to `apply_async`, which would publish it. Here, where the step that has just ended
ran on the queue that the next one is meant for, the next one is traced in place: no broker hop, so nothing can be lost
between a provider's yes and its record. It still is a Celery task: signals fire and Flower sees it by its name.
"""

from __future__ import annotations

from typing import Any

from celery import Task, states
from celery._state import get_current_task
from celery.utils import uuid

from tasks.events import StepEvents


class Step(Task):  # type: ignore[type-arg]  # celery-types makes Task generic, celery itself does not
    """Base of the steps."""

    abstract = True
    ignore_result = True
    Request = "tasks.request:QuietRequest"
    events = StepEvents()

    def apply_async(  # type: ignore[override]  # celery-types names each option
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> Any:
        """As Celery's, but in place where the caller is a step of the same chain on the same queue."""
        before = get_current_task()
        if isinstance(before, Step) and self.__trace__ is not None and _is_same_queue(before, options.get("queue")):
            return self._run_here(before, tuple(args or ()), dict(kwargs or {}), options)
        return super().apply_async(args, kwargs, **options)

    def _run_here(self, before: Task, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Any:  # type: ignore[type-arg]  # see above
        task_id = options.get("task_id") or uuid()
        request = {
            "id": task_id,
            "task": self.name,
            "root_id": options.get("root_id"),
            "parent_id": options.get("parent_id"),
            "chain": options.get("chain"),
            "hostname": before.request.hostname,
            "delivery_info": before.request.delivery_info,
            "argsrepr": options.get("argsrepr", ""),
            "kwargsrepr": "{}",
            "ignore_result": True,
            "retries": 0,
        }
        self.events.ended(self.app, str(before.request.id))
        self.events.started(self.app, self.name, request)
        traced = self.__trace__(task_id, args, kwargs, request)
        self.events.ended(self.app, task_id, has_failed=traced.info is not None)
        if not request["chain"]:
            self.events.flush()
        return states.SUCCESS


def _is_same_queue(before: Task, queue: Any) -> bool:  # type: ignore[type-arg]  # see above
    info = before.request.delivery_info or {}
    return not before.request.is_eager and queue is not None and info.get("routing_key") == str(queue)
