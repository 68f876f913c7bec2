"""`manage.py broker`: the embedded Kafka, a part of `manage.py up`."""

from __future__ import annotations

import click

from app.settings import Settings
from infrastructure.embedded.kafka import run_broker


@click.command(hidden=True)
def broker() -> None:
    """Run the embedded Kafka broker; its address is in the state folder."""
    run_broker(Settings.load())
