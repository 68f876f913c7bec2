"""API keys: one row a key, kept when it is revoked."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from sqlalchemy import Engine, Row, case, insert, select, update

from app.domain.api_key import ApiKey, Scope
from app.domain.rate import Rate, parse_rate
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import api_keys as table

log = structlog.get_logger()


class SqlApiKeys:
    """The port `ApiKeys`. A row that cannot be read is left out of listings, so that it opens nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @repeated
    def add(self, key: ApiKey) -> None:
        """See `app.domain.ports.ApiKeys`."""
        values = {
            "id": key.id,
            "name": key.name,
            "scopes": " ".join(sorted(key.scopes)),
            "rate_limit": "" if key.limit is None else str(key.limit),
            "digest": key.digest,
            "created_at_ms": key.created_at_ms,
            "revoked_at_ms": key.revoked_at_ms,
            "last_used_at_ms": key.last_used_at_ms,
        }
        with writing(self._engine) as connection:
            connection.execute(insert(table).values(**values))

    def list(self) -> list[ApiKey]:
        """See `app.domain.ports.ApiKeys`."""
        query = select(table).order_by(table.c.created_at_ms, table.c.id)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [key for row in rows if (key := _key(row)) is not None]

    @repeated
    def revoke(self, key_id: str, at_ms: int) -> bool:
        """See `app.domain.ports.ApiKeys`."""
        of_key = table.c.id == key_id
        with writing(self._engine) as connection:
            connection.execute(update(table).where(of_key, table.c.revoked_at_ms == 0).values(revoked_at_ms=at_ms))
            return connection.execute(select(table.c.id).where(of_key)).first() is not None

    @repeated
    def note_uses(self, uses: Mapping[str, int]) -> None:
        """See `app.domain.ports.ApiKeys`."""
        if not uses:
            return
        used_at_ms = case(uses, value=table.c.id, else_=0)
        is_later = (table.c.id.in_(sorted(uses)), table.c.last_used_at_ms < used_at_ms)
        with writing(self._engine) as connection:
            connection.execute(update(table).where(*is_later).values(last_used_at_ms=used_at_ms))


def _key(row: Row[*tuple[object, ...]]) -> ApiKey | None:
    try:
        limit = _limit(row.rate_limit)
    except ValueError:
        log.error("api_key_unreadable", key=row.id, column="rate_limit")  # noqa: TRY400 - the row says it all
        return None
    return ApiKey(
        id=row.id,
        name=row.name,
        # A scope of a later version is none here.
        scopes=frozenset(Scope(word) for word in row.scopes.split() if word in list(Scope)),
        digest=row.digest,
        created_at_ms=row.created_at_ms,
        limit=limit,
        revoked_at_ms=row.revoked_at_ms,
        last_used_at_ms=row.last_used_at_ms,
    )


def _limit(text: str) -> Rate | None:
    return parse_rate(text) if text else None
