"""`manage.py flower`: the view of the workers. Read-only, with a password, and with no memory of its own on disk."""

from __future__ import annotations

import click

from app.domain.bind import Bind, parse_bind
from app.domain.errors import ConfigError
from app.settings import PREFIX, Settings
from infrastructure.embedded.ports import Listener, check_free
from infrastructure.embedded.state import with_secrets

BIND_VARIABLE = f"{PREFIX}FLOWER_BIND"
AUTH_VARIABLE = f"{PREFIX}FLOWER_AUTH"


@click.command()
def flower() -> None:
    """Run Flower, the view of the workers."""
    settings = Settings.load()
    if settings.profile == "embedded":
        settings = with_secrets(settings)
    if ":" not in settings.flower_auth:
        raise ConfigError(f"{AUTH_VARIABLE} must be user:password")
    bind = parse_bind(settings.flower_bind, BIND_VARIABLE)
    check_free([Listener("Flower", bind.host, bind.port, BIND_VARIABLE)])
    _serve(settings, bind)


def _serve(settings: Settings, bind: Bind) -> None:
    from flower.options import default_options as options

    from tasks.celery import app

    # Set here, not on the command line: everybody on the machine can read that.
    options.address = bind.host
    options.port = bind.port
    options.basic_auth = [settings.flower_auth]
    options.read_only = not settings.flower_writable
    options.natural_time = True
    options.logging = "error"  # it warns of every worker that is slow to answer
    app.start(["--quiet", "flower"])
