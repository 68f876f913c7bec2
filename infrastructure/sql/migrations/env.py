"""Run by alembic for each command: revisions are applied on the connection that `migrate` holds the lock with."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
