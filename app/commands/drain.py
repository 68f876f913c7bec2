"""`manage.py drain`: waits until what is in Kafka has been worked off, as a stop of `manage.py up` does."""

from __future__ import annotations

import time
from typing import Final

import click

from app.domain.lane import ALL_TOPICS
from app.settings import Settings
from infrastructure.kafka.waiting import WaitingRecords

#: Between two looks, seconds.
LOOK_S: Final = 0.2


@click.command(hidden=True)
def drain() -> None:
    """Wait until every event is routed and every delivery is final or parked, at most the setting `drain_s`."""
    settings = Settings.load()
    deadline = time.monotonic() + settings.drain_s
    records = WaitingRecords(settings)
    try:
        while (waiting := sum(records.count(ALL_TOPICS).values())) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
    finally:
        records.close()
    click.echo(f"{waiting} records are left" if waiting else "all is delivered or parked")
