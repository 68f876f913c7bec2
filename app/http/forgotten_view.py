"""What forgetting a user did, as HTTP and `manage.py users forget --json` show it."""

from __future__ import annotations

from msgspec import Struct

from app.domain.forget_user import Forgotten
from app.http.wire import Rfc3339, rfc3339


class HeldView(Struct, frozen=True, kw_only=True):
    """What cannot be removed one by one, and when it is gone by itself."""

    where: str
    what: str
    until: Rfc3339


class ForgottenView(Struct, frozen=True, kw_only=True):
    """The answer. `removed` counts by kind: users, preferences, inbox, devices, notifications, outcomes, parked."""

    forgotten_at: Rfc3339
    removed: dict[str, int]
    still_held: list[HeldView]


def forgotten_view(done: Forgotten) -> ForgottenView:
    """The view."""
    return ForgottenView(
        forgotten_at=rfc3339(done.forgotten_at_ms),
        removed=done.removed,
        still_held=[
            HeldView(where=held.where, what=held.what, until=rfc3339(held.until_ms)) for held in done.still_held
        ],
    )
