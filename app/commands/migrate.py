"""`manage.py migrate`: the databases' schema."""

from __future__ import annotations

import contextlib

import click

from app.domain.errors import HalfStoredError
from app.domain.users import Contacts, User
from app.settings import Settings
from infrastructure import wiring

DEMO_USER = User(id="user-001", contacts=Contacts(email="user-001@example.com"))


@click.command()
@click.option("--demo-user", is_flag=True, help="Make the user of the first example, once for a state folder.")
def migrate(demo_user: bool) -> None:
    """Bring both databases to the schema of this version; harmless to repeat."""
    settings = Settings.load()
    wiring.migrate_stores(settings)
    if demo_user:
        _make_demo_user(settings)


def _make_demo_user(settings: Settings) -> None:
    made = settings.state_dir / "demo_user"  # whoever deletes the user does not get it back
    if not made.exists():
        with contextlib.suppress(HalfStoredError):  # nobody has copies of a user that was never there
            wiring.users(settings).put(DEMO_USER)
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
