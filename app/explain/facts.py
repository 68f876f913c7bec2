"""What the stores say of an event's user, each asked once; a store that is away leaves its facts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.domain.device import Device
from app.domain.errors import StoreUnavailableError
from app.domain.ports import (
    Devices,
    KnownSuppressions,
    KnownUser,
    KnownUsers,
    LimitBook,
    LimitsSeen,
    PreferenceStore,
    Suppressions,
    Users,
)
from app.domain.suppression import Destination
from app.domain.users import Preferences, Recipient


class Facts(Struct, frozen=True, kw_only=True):
    """None: the store did not answer. A user without a record has the defaults.

    `known` is what high would go by while SQL is away; None also where SQL is there.
    """

    now_ms: int
    recipient: Recipient | None
    preferences: Preferences | None
    limits: LimitsSeen | None
    devices: Sequence[Device] | None = ()
    known: KnownUser | None = None


def recipient_of(users: Users, user_id: str) -> Recipient | None:
    """The user as the steps see them."""
    try:
        return users.recipients([user_id]).get(user_id) or Recipient(user_id=user_id)
    except StoreUnavailableError:
        return None


def devices_of(store: Devices, user_id: str) -> Sequence[Device] | None:
    """The user's devices."""
    try:
        return store.of_user(user_id)
    except StoreUnavailableError:
        return None


def preferences_of(store: PreferenceStore, user_id: str) -> Preferences | None:
    """The user's preferences."""
    try:
        return store.get_many([user_id]).get(user_id, Preferences())
    except StoreUnavailableError:
        return None


def known_of(known: KnownUsers, user_id: str) -> KnownUser | None:
    """What is known of the user without SQL."""
    try:
        return known.find([user_id]).get(user_id)
    except StoreUnavailableError:
        return None


def suppressions_of(
    store: Suppressions, known: KnownSuppressions, places: Sequence[Destination]
) -> tuple[Mapping[Destination, str], bool]:
    """Those of the addresses that are suppressed, with the reason; and whether SQL did not say."""
    try:
        return store.find(places), False
    except StoreUnavailableError:
        pass
    try:
        return known.find(places), True
    except StoreUnavailableError:
        return {}, True


def limits_of(book: LimitBook, keys: Sequence[str]) -> LimitsSeen | None:
    """The limits, and whether Redis answers at all."""
    try:
        return book.peek(keys)
    except StoreUnavailableError:
        return None
