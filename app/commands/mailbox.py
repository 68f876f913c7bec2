"""`manage.py mailbox`: a mail system for trying out."""

from __future__ import annotations

import click

from app.settings import settings
from infrastructure.embedded.mailbox import run_mailbox
from infrastructure.telemetry.logs import configure_logs


@click.command("mailbox")
def mailbox() -> None:
    """Take mail by SMTP, keep it in a folder and show it on a page; nothing is delivered to anybody."""
    configure_logs(settings())
    run_mailbox(settings())
