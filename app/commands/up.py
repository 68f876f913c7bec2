"""`manage.py up`: the whole service on this machine, each part its own process under one supervisor."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import click

from app.commands.up_parts import FLOWER, MAILBOX, listeners, parts, stop_plan
from app.domain.errors import ConfigError
from app.settings import Settings, child_environ
from infrastructure import wiring
from infrastructure.embedded import kafka, state
from infrastructure.embedded.console import Console
from infrastructure.embedded.ports import check_free
from infrastructure.embedded.supervisor import Supervisor
from infrastructure.telemetry.targets import forget_targets, targets

ROOT = Path(__file__).parents[2]
BANNER = """
All parts are ready.

HTTP      {url}
{views}
Try it:

curl -X POST {url}/api/v1/notifications -H "Content-Type: application/json" -d '{{
  "user_id": "user-001", "event_type": "security_alert",
  "content": "Suspicious login attempt detected from a new device",
  "metadata": {{"device": "Unknown iPhone", "location": "Somewhere in the world",
               "ip_address": "203.0.113.42", "timestamp": 1732270000}}}}'

What became of it, with the id of the answer:

{python} manage.py show ID
"""


@click.command()
@click.option("--without", multiple=True, type=click.Choice([FLOWER, MAILBOX]), help="Leave this part out.")
def up(without: tuple[str, ...]) -> None:
    """Start everything: broker, Redis, HTTP service, bridges, workers, Flower and the mailbox. Ctrl-C stops it."""
    folder = Settings.load().state_dir.resolve()
    with state.held(folder):
        state.remove_endpoints(folder)  # of a set that was killed
        settings = state.with_secrets(dataclasses.replace(Settings.load(), state_dir=folder))
        if settings.profile != "embedded":
            raise ConfigError("`up` runs the embedded set: NOTIFY_PROFILE must be embedded")
        forget_targets(settings)  # of a set that was killed
        wiring.renderer(settings)  # an error in the catalogue or its templates is found before anything starts
        check_free([listener for listener in listeners(settings) if listener.part not in without])
        try:
            sys.exit(_supervise(settings, without))
        finally:
            state.remove_endpoints(folder)
            forget_targets(settings)


def _supervise(settings: Settings, without: tuple[str, ...]) -> int:
    def current() -> Settings:
        """The settings with the broker's address, which it chooses itself at each start."""
        address = kafka.address_path(settings)
        return dataclasses.replace(settings, kafka_bootstrap=address.read_text()) if address.is_file() else settings

    wanted = [
        part for part in parts(settings, ROOT, lambda: state.write_endpoints(current())) if part.name not in without
    ]
    console = Console(sys.stdout, [part.name for part in wanted], in_colour=sys.stdout.isatty())
    supervisor = Supervisor(
        wanted,
        plan=stop_plan(settings, ROOT),
        environ=lambda: _environ(current()),
        folder=Path.cwd(),
        console=console,
        when_complete=lambda: console.plain(_banner(settings, without)),
    )
    return supervisor.run()


def _environ(settings: Settings) -> dict[str, str]:
    """The parts' environment. Celery finds our packages wherever the command was started."""
    environ = child_environ(settings)
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH")]))
    return environ


def _banner(settings: Settings, without: tuple[str, ...]) -> str:
    user, _, password = settings.flower_auth.partition(":")
    views = {
        MAILBOX: f"Mailbox   http://{settings.mailbox_bind}\n",
        FLOWER: f"Flower    http://{settings.flower_bind}  (user {user}, password {password})\n",
    }
    shown = "".join(line for name, line in views.items() if name not in without) + _metrics(settings)
    return BANNER.format(url=settings.public_url, views=shown, python=_shown_python())


def _metrics(settings: Settings) -> str:
    """Where each part shows its metrics."""
    lines = [f"{part} http://{address}/metrics" for part, address in targets(settings)]
    return "".join(f"{'Metrics' if not index else '':9} {line}\n" for index, line in enumerate(lines))


def _shown_python() -> str:
    """This Python as one would type it here."""
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python)
