"""Users, their preferences and their inbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from app.domain.users import Preferences, Recipient, User


class StoredPreferences(NamedTuple):
    """Preferences, and the version of what is stored: it grows with each change, and is 0 where nothing is."""

    preferences: Preferences
    version: int


class KnownUser(Struct, frozen=True, kw_only=True):
    """What was last known of a user. None: nothing; a user that the store has nothing of is known by version 0.

    `forgotten_at_ms`: when the user was forgotten, where that is not long ago; else 0.
    """

    user_id: str
    recipient: Recipient | None = None
    preferences: StoredPreferences | None = None
    forgotten_at_ms: int = 0

    @property
    def is_something(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.recipient or self.preferences or self.forgotten_at_ms)


class KnownUsers(Protocol):
    """Copies of what SQL has of users, for the time in which it is away. They may vanish at any moment.

    No copy is ever replaced by one of an older version.
    """

    def remember(self, users: Sequence[KnownUser]) -> str:
        """Keep what is given (None: as it is), unless it is older than what is there.

        The answer names the life of what keeps them: another one has none of those that were given to this one.
        """

    def find(self, user_ids: Sequence[str]) -> Mapping[str, KnownUser]:
        """What is known of these users, by id; of whom nothing is known is left out."""

    def forget(self, user_id: str, version: int, at_ms: int) -> None:
        """Drop the copies, remember that the user was forgotten, and take none older than `version`."""


class Users(Protocol):
    """Users and their contacts.

    What is changed is also told to `KnownUsers` before a method returns; HalfStoredError where that failed.
    """

    def get(self, user_id: str) -> User | None:
        """The user, or None."""

    def put(self, user: User) -> bool:
        """Store the user whole; True if it is new."""

    def delete(self, user_id: str) -> bool:
        """Remove the user, their preferences, inbox and devices; False if there was none."""

    def list(self, *, after: str = "", limit: int = 100) -> list[User]:
        """Users in order of id, from behind `after`."""

    def recipients(self, user_ids: Sequence[str]) -> Mapping[str, Recipient]:
        """Those of the users that are known, by id, in one query."""


class PreferenceStore(Protocol):
    """Users' preferences; for changes as in `Users`."""

    def get(self, user_id: str) -> Preferences:
        """The user's preferences; the defaults where none are stored."""

    def put(self, user_id: str, preferences: Preferences) -> None:
        """Replace them whole. Once this returns, no step decides by the old ones."""

    def get_many(self, user_ids: Sequence[str]) -> Mapping[str, Preferences]:
        """The stored ones by user id, in one query; users without any are left out."""

    def stored(self, user_ids: Sequence[str]) -> Mapping[str, StoredPreferences]:
        """The same, with their versions."""


class InboxEntry(Struct, frozen=True, kw_only=True):
    """An entry of a user's in-app inbox. `id` is the delivery id."""

    id: str
    notification_id: str
    user_id: str
    event_type: str
    category: str
    subject: str
    body: str
    created_at_ms: int
    read_at_ms: int | None = None


class Page(Struct, frozen=True, kw_only=True):
    """A page of a listing, newest first; `cursor` is None on the last."""

    items: list[Any]
    cursor: str | None = None


class Inbox(Protocol):
    """The in-app inbox."""

    def add(self, entries: Sequence[InboxEntry]) -> None:
        """Insert those that are not there yet, in one statement; repeating is harmless."""

    def list(self, user_id: str, *, unread_only: bool = False, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of `InboxEntry`. Raises ValueError for a cursor that is none of ours."""

    def unread_count(self, user_id: str) -> int:
        """How many entries the user has not read."""

    def mark_read(self, user_id: str, entry_ids: Sequence[str] | None, at_ms: int) -> int:
        """Mark these entries read (None: all); how many were unread before."""
