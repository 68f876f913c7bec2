"""Devices of users: one row a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs
from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, insert, or_, select, update

from app.domain.device import Device
from app.domain.ports import DeadDevice
from infrastructure.sql.bulk import chunks
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import devices

_NEWEST_FIRST = (devices.c.registered_at_ms.desc(), devices.c.id)


class SqlDevices:
    """The port `Devices`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @repeated
    def register(self, device: Device, limit: int) -> bool:
        """Store the device; True if it is new to this user."""
        mine = devices.c.id == device.id
        with writing(self._engine) as connection:
            # Asked first: a server that is told to insert or update does not say reliably which it did.
            owner = connection.scalar(select(devices.c.user_id).where(mine).with_for_update())
            change = insert(devices) if owner is None else update(devices).where(mine)
            connection.execute(change.values(structs.asdict(device)))
            _drop_surplus(connection, device, limit)
        return owner != device.user_id

    def of_user(self, user_id: str) -> list[Device]:
        """The user's devices, newest first."""
        return self.of_users([user_id]).get(user_id, [])

    def of_users(self, user_ids: Sequence[str]) -> Mapping[str, list[Device]]:
        """The same of several, in one query; users without any are left out."""
        if not user_ids:
            return {}
        query = select(devices).where(devices.c.user_id.in_(set(user_ids))).order_by(*_NEWEST_FIRST)
        found: dict[str, list[Device]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(query).mappings():
                found.setdefault(row["user_id"], []).append(Device(**row))
        return found

    @repeated
    def remove(self, user_id: str, device_id: str) -> bool:
        """Remove a device of the user; False if there was none."""
        theirs = (devices.c.id == device_id, devices.c.user_id == user_id)
        with writing(self._engine) as connection:
            return connection.execute(delete(devices).where(*theirs)).rowcount == 1

    @repeated
    def remove_dead(self, dead: Sequence[DeadDevice]) -> None:
        """Remove these, but for those that are another user's now, or were registered since."""
        if not dead:
            return
        with writing(self._engine) as connection:
            for portion in chunks(sorted(dead, key=lambda one: one.device_id)):
                connection.execute(delete(devices).where(or_(*map(_is, portion))))


def _is(dead: DeadDevice) -> ColumnElement[bool]:
    return and_(
        devices.c.id == dead.device_id,
        devices.c.user_id == dead.user_id,
        devices.c.registered_at_ms <= dead.at_ms,
    )


def _drop_surplus(connection: Connection, device: Device, limit: int) -> None:
    query = select(devices.c.id).where(devices.c.user_id == device.user_id, devices.c.id != device.id)
    others = connection.scalars(query.order_by(*_NEWEST_FIRST)).all()
    for surplus in others[limit - 1 :]:
        connection.execute(delete(devices).where(devices.c.id == surplus, devices.c.user_id == device.user_id))
