"""`manage.py queues`: what waits where, lane by lane."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import click

from app.commands.output import json_option, print_rows
from app.domain.batch import Finished
from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.errors import UndecodableError
from app.domain.lane import ALL_TOPICS, FINISHED_TOPIC, LANES, RAW_LOW_TOPIC, RAW_TOPIC
from app.settings import Settings, settings
from bridges.dispatch.finished import FinishedView
from infrastructure import wiring
from infrastructure.kafka.reader import TailReader
from infrastructure.kafka.records import Record
from infrastructure.kafka.waiting import WaitingRecords

_COLUMNS = ("lane", "kafka", "unfinished", "celery", "parked")
_TIMEOUT_S = 10.0


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Also lanes where nothing waits.")
@json_option
def queues(show_all: bool, as_json: bool) -> None:
    """Show what waits in each lane.

    kafka: records not finished yet, those in a batch included. unfinished: those that came back open from their last
    batch and are sent again. celery: batches on the queue that no worker has taken. parked: deliveries that wait for a
    time. The topics in front of the lanes come first.
    """
    config = settings()
    records = WaitingRecords(config)
    try:
        waiting = records.count(ALL_TOPICS)
    finally:
        records.close()
    unfinished = _unfinished(config)
    batches = wiring.broker_queues(config).lengths()
    parked = {queue: sum(reasons.values()) for queue, reasons in wiring.parked(config).counts().items()}
    rows = [(topic, waiting.get(topic, 0), 0, 0, 0) for topic in (RAW_TOPIC, RAW_LOW_TOPIC)]
    rows += [
        (lane.queue, waiting.get(lane.topic, 0), unfinished[lane.queue], batches[lane.queue], parked.get(lane.queue, 0))
        for lane in LANES
    ]
    shown = [row for row in rows if show_all or any(row[1:])]
    if shown or as_json:
        print_rows("Queues", _COLUMNS, shown, as_json)
    else:
        click.echo("nothing waits")


def _unfinished(config: Settings) -> Counter[str]:
    view = FinishedView()
    tail = TailReader(config, FINISHED_TOPIC)
    try:
        tail.read_to_end(lambda record: _note(view, record), _TIMEOUT_S)
    finally:
        tail.close()
    return view.open_counts()


def _note(view: FinishedView, record: Record) -> None:
    with suppress(UndecodableError):  # the dispatcher logs it
        view.apply(decode(record.value, Finished), now_ms())
