"""Devices of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from app.domain.device import Device


class DeadDevice(NamedTuple):
    """A device whose token is dead, as its push service said at a time (Unix milliseconds)."""

    user_id: str
    device_id: str
    at_ms: int


class Devices(Protocol):
    """Where push notifications go. A token belongs to one user at a time."""

    def register(self, device: Device, limit: int) -> bool:
        """Store the device; True if it is new to this user.

        Another user's of the same token is theirs no more. Where the user then has more than `limit`, those registered
        longest ago go: an app registers at each of its starts, so nobody may be there any more.
        """

    def of_user(self, user_id: str) -> list[Device]:
        """The user's devices, newest first."""

    def of_users(self, user_ids: Sequence[str]) -> Mapping[str, list[Device]]:
        """The same of several, in one query; users without any are left out."""

    def remove(self, user_id: str, device_id: str) -> bool:
        """Remove a device of the user; False if there was none."""

    def remove_dead(self, dead: Sequence[DeadDevice]) -> None:
        """Remove these, but for those that are another user's now, or were registered since; repeating is harmless."""
