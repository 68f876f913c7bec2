"""Bring a database to the schema of this version. Revisions are written by hand, in `migrations/{main,history}`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from infrastructure.sql.dialect import check_server, lock_migrations
from infrastructure.sql.engine import writing

Kind = Literal["main", "history"]

#: How long a migration may wait for another one. Only where the database is a server.
LOCK_WAIT_S: Final = 30.0
#: How long a statement of a migration may take there: it may have to write a large table anew.
STATEMENT_S: Final = 3600.0

_FOLDER = Path(__file__).parent / "migrations"


def migrate(engine: Engine, kind: Kind) -> None:
    """Upgrade to the newest revision; nothing happens where it is there already.

    Several processes may do this at once: one migrates, the others wait. What was interrupted is finished by another
    run: a revision is written down after its last step, and its steps may be repeated. Raises StoreUnavailableError.
    """
    with _locked(engine, kind) as config:
        command.upgrade(config, "head")


def downgrade(engine: Engine, kind: Kind, revision: str = "base") -> None:
    """Go back to a revision (default: to an empty database). What newer tables and columns hold is lost.

    Interrupted on a server, it is to be repeated before `migrate`, which takes the revision half undone for done.
    """
    with _locked(engine, kind) as config:
        command.downgrade(config, revision)


@contextmanager
def _locked(engine: Engine, kind: Kind) -> Iterator[Config]:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("version_locations", str(_FOLDER / kind))
    config.set_main_option("path_separator", "newline")
    with writing(engine) as connection:
        lock_migrations(connection, f"notify_migrate_{kind}", LOCK_WAIT_S)
        check_server(connection)
        config.attributes["connection"] = connection
        yield config
