"""The chain, READ FIRST: validate -> check_preferences -> limit_rate -> deliver -> record, on the lane's own queue.

Each step takes a batch and hands it on. A delivery that has its verdict travels on untouched; one bad delivery never
fails its batch; a step that fails leaves what it had not decided open, and `record` reports it, so that it is sent
again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from celery import chain
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from app.domain.batch import Batch, Item, RawBatch
from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER
from app.domain.metric_catalogue import STORE_FAILURES
from app.domain.outcome import OpenReason
from tasks import check_preferences as check_preferences_step
from tasks import deliver as deliver_step
from tasks import limit_rate as limit_rate_step
from tasks import measure
from tasks import record as record_step
from tasks import validate as validate_step
from tasks.celery import app, broker_errors, step_context
from tasks.context import StepContext
from tasks.step import Step
from tasks.trace_batch import trace_batch
from tasks.verdicts import leave_open

_log = structlog.get_logger()
_BROKER_ERRORS: tuple[type[Exception], ...] = (OperationalError, OSError, *broker_errors())


@app.task(base=Step, name="validate")
def validate(batch: Any) -> Batch:
    """Claim the deliveries, drop what is late, find out whom they go to and whether they can."""
    return _run(validate_step.validate, batch)


@app.task(base=Step, name="check_preferences")
def check_preferences(batch: Any) -> Batch:
    """What the user wants: preferences, mute, quiet hours."""
    return _run(check_preferences_step.check_preferences, batch)


@app.task(base=Step, name="limit_rate")
def limit_rate(batch: Any) -> Batch:
    """The user's limits."""
    return _run(limit_rate_step.limit_rate, batch)


@app.task(base=Step, name="deliver")
def deliver(batch: Any) -> Batch:
    """Render, call the provider, hand each outcome to Kafka."""
    return _run(deliver_step.deliver, batch)


@app.task(base=Step, name="record")
def record(batch: Any) -> str:
    """Make everything durable, then say so."""
    made = _batch(batch)
    try:
        with measure.timed("record"):
            return record_step.record(made, step_context())
    except Exception as error:  # noqa: BLE001 - the copy must be reported, or its partition stands until not_after
        measure.failed("record")
        _log.error("step_failed", step="record", queue=made.head.queue, **_place(error))
        return _report_open(made)
    finally:
        measure.batch_ended(made)
        trace_batch(made, step_context().tracer)


STEPS = (validate, check_preferences, limit_rate, deliver, record)


def send(batch: RawBatch) -> None:
    """Put a batch on its lane's queue as the chain. Raises StoreUnavailableError; it may still have arrived."""
    queue = batch.head.queue
    text = f"('{queue}', {len(batch.items)})"
    options: dict[str, Any] = {"queue": queue, "argsrepr": text, "kwargsrepr": "{}", "retry": False}
    first = STEPS[0].s(batch).set(**options)
    try:
        chain(first, *(step.s().set(**options) for step in STEPS[1:])).apply_async()
    except _BROKER_ERRORS as error:
        METER.count(STORE_FAILURES, ("celery",))
        raise StoreUnavailableError(f"Celery's broker: {type(error).__name__}") from error


def _run(step: Callable[[Batch, StepContext], Batch], message: Any) -> Batch:
    batch = _batch(message)
    try:
        with measure.timed(step.__name__):
            return step(batch, step_context())
    except validate_step.StaleCopyError:
        measure.is_stale()
        raise Ignore from None
    except Exception as error:  # noqa: BLE001 - whatever a step raises, the batch is reported and sent again
        measure.failed(step.__name__)
        _log.error("step_failed", step=step.__name__, queue=batch.head.queue, **_place(error))
        _give_back(batch)
        return batch


def _batch(message: Any) -> Batch:
    """The batch as the step before handed it on: itself in the same child, plain JSON behind a broker hop."""
    return message if isinstance(message, Batch) else msgspec.convert(message, Batch)


def _give_back(batch: Batch) -> None:
    """Leave what is undecided open; a failure on a delivery that is alone counts like a death of its worker."""
    undecided = batch.undecided
    leave_open(undecided, OpenReason.STEP_FAILED)
    if batch.head.alone:
        _release(batch, undecided)


def _release(batch: Batch, items: list[Item]) -> None:
    try:
        ids = [item.delivery.id for item in items]
        step_context().claims.release(ids, owner=batch.owner, as_crash=batch.head.alone)
    except StoreUnavailableError:
        _log.warning("claims_unavailable", queue=batch.head.queue, deliveries=len(items))


def _report_open(batch: Batch) -> str:
    """Finish a copy that `record` failed on: all of it is sent again, and answers that are noted stand."""
    leave_open(batch.items, OpenReason.STEP_FAILED)
    _release(batch, batch.items)
    finished = record_step.finished(batch)
    step_context().outcomes.finish(finished, record_step.left_s(batch, step_context()))
    return f"{batch.head.queue} {len(batch.items)}, failed"


def _place(error: Exception) -> dict[str, str]:
    """Type and place of an error; its text could quote content."""
    trace = sys.exc_info()[2]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return {"error": type(error).__name__, "where": where}
