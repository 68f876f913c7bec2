"""`manage.py config`: every setting."""

from __future__ import annotations

import click

from app.commands.output import json_option, print_rows
from app.settings import PREFIX, Settings

STATE_DIR = f"{PREFIX}STATE_DIR"


@click.command()
@json_option
def config(as_json: bool) -> None:
    """List every setting with its value, whether that is the default, and what it is; secrets are masked."""
    settings = Settings.load()
    # What the state folder and the running set fill in counts as default.
    filled_in = Settings.load({STATE_DIR: str(settings.state_dir)}).as_environ()
    defaults = filled_in | {STATE_DIR: Settings().as_environ()[STATE_DIR]}
    values = settings.as_environ()
    rows = [
        (variable, shown, "default" if values[variable] == defaults[variable] else "set", doc)
        for variable, shown, doc in settings.items()
    ]
    print_rows("Settings", ("variable", "value", "from", "meaning"), rows, as_json)
