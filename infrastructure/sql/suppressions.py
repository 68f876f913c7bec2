"""Suppressed addresses: one row an address and reason, kept when it is lifted, so that old news brings nothing back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Engine, case, delete, func, insert, select, update

from app.domain.clock import now_ms
from app.domain.known_suppressions import NOTHING_SUPPRESSED
from app.domain.ports import KnownSuppressions
from app.domain.suppression import Destination, Suppression, SuppressionReason, address_id
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import SHOWN_LENGTH, soft_bounces
from infrastructure.sql.schema import suppressions as table
from infrastructure.sql.versions import copying

_HOLDS = table.c.since_ms > table.c.lifted_at_ms


class SqlSuppressions:
    """The port `Suppressions`. `secret` makes the hashes; `known` are copies for others, never read here."""

    def __init__(self, engine: Engine, secret: bytes, known: KnownSuppressions = NOTHING_SUPPRESSED) -> None:
        self._engine = engine
        self._secret = secret
        self._known = known

    def find(self, destinations: Collection[Destination]) -> Mapping[Destination, str]:
        """Those of them that are suppressed, each with the reason that came first; one query."""
        if not destinations:
            return {}
        by_id = {address_id(self._secret, one): one for one in destinations}
        with reading(self._engine) as connection:
            reasons = _reasons(connection, list(by_id))
        return {one: reasons[hashed] for one in destinations if (hashed := address_id(self._secret, one)) in reasons}

    def suppress(
        self, destination: Destination, reason: SuppressionReason, *, since_ms: int, user_id: str = "", shown: str = ""
    ) -> bool:
        """Suppress it; False where it was, for this reason, or was lifted since."""
        row: dict[str, str | int] = {"channel": destination.channel, "since_ms": since_ms}
        row |= {"user_id": user_id, "shown": shown[:SHOWN_LENGTH]}
        is_new, first = self._suppress(address_id(self._secret, destination), reason, row)
        self._tell(destination, first)
        return is_new

    def lift(self, destination: Destination, at_ms: int, reasons: Sequence[SuppressionReason] = ()) -> int:
        """Lift these reasons (none given: all, and what was counted of soft bounces); how many held."""
        held, left = self._lift(address_id(self._secret, destination), at_ms, reasons)
        self._tell(destination, left)
        return held

    def list(self, *, reason: str = "", limit: int = 100) -> Sequence[Suppression]:
        """Those that hold, of one reason or all, the latest first."""
        query = select(table).where(_HOLDS).order_by(table.c.since_ms.desc(), table.c.address_id).limit(limit)
        if reason:
            query = query.where(table.c.reason == reason)
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return [Suppression(**{name: row[name] for name in Suppression.__struct_fields__}) for row in rows]

    @repeated
    def _suppress(self, hashed: str, reason: SuppressionReason, row: Mapping[str, str | int]) -> tuple[bool, str]:
        """Whether it is new, and the first reason that holds then."""
        mine = (table.c.address_id == hashed, table.c.reason == reason)
        with writing(self._engine) as connection:
            columns = (table.c.since_ms, table.c.lifted_at_ms, table.c.user_id)
            found = connection.execute(select(*columns).where(*mine).with_for_update()).one_or_none()
            is_new = found is None or found.since_ms <= found.lifted_at_ms < int(row["since_ms"])
            if found is None:
                connection.execute(insert(table).values(address_id=hashed, reason=reason, lifted_at_ms=0, **row))
            elif is_new:
                connection.execute(update(table).where(*mine).values(**row))
            elif row["user_id"] and not found.user_id:  # nobody knew whose it was
                whose = {"user_id": row["user_id"], "shown": row["shown"]}
                connection.execute(update(table).where(*mine).values(**whose))
            return is_new, _reasons(connection, [hashed]).get(hashed, "")

    @repeated
    def _lift(self, hashed: str, at_ms: int, reasons: Sequence[SuppressionReason]) -> tuple[int, str]:
        """How many held, and the first reason that still does."""
        which: list[ColumnElement[bool]] = [table.c.address_id == hashed, _HOLDS]
        if reasons:
            which.append(table.c.reason.in_(reasons))
        # Never before what it lifts, whatever the provider's clock said.
        lifted_at_ms = case((table.c.since_ms > at_ms, table.c.since_ms), else_=at_ms)
        with writing(self._engine) as connection:
            held = connection.execute(update(table).where(*which).values(lifted_at_ms=lifted_at_ms)).rowcount
            if not reasons:
                connection.execute(delete(soft_bounces).where(soft_bounces.c.address_id == hashed))
            return held, _reasons(connection, [hashed]).get(hashed, "")

    def _tell(self, destination: Destination, reason: str) -> None:
        with copying():
            self._known.remember({destination: reason}, now_ms())


class SqlSoftBounces:
    """The port `SoftBounces`."""

    def __init__(self, engine: Engine, secret: bytes) -> None:
        self._engine = engine
        self._secret = secret

    @repeated
    def count(self, destination: Destination, delivery_id: str, *, at_ms: int, since_ms: int) -> int:
        """Count this one, and forget those of before `since_ms`; how many there are."""
        hashed = address_id(self._secret, destination)
        of_address = soft_bounces.c.address_id == hashed
        row = {"address_id": hashed, "delivery_id": delivery_id, "at_ms": at_ms}
        with writing(self._engine) as connection:
            connection.execute(insert_new(connection, soft_bounces), [row])
            connection.execute(delete(soft_bounces).where(of_address, soft_bounces.c.at_ms < since_ms))
            return connection.execute(select(func.count()).where(of_address)).scalar_one()

    @repeated
    def forgive(self, destination: Destination) -> None:
        """Forget all of an address. Asked first: most have none, and must not hold writers up."""
        of_address = soft_bounces.c.address_id == address_id(self._secret, destination)
        with reading(self._engine) as connection:
            if connection.execute(select(soft_bounces.c.at_ms).where(of_address).limit(1)).first() is None:
                return
        with writing(self._engine) as connection:
            connection.execute(delete(soft_bounces).where(of_address))


def _reasons(connection: Connection, hashes: Sequence[str]) -> dict[str, str]:
    """Hash -> the reason that came first, of those that hold."""
    query = select(table.c.address_id, table.c.reason).where(table.c.address_id.in_(hashes), _HOLDS)
    rows = connection.execute(query.order_by(table.c.since_ms.desc(), table.c.reason.desc()))
    return {hashed: reason for hashed, reason in rows}  # noqa: C416 - rows are no pairs to a type checker
