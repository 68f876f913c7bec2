"""What a client posts, as it travels to the workers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.chat_address import ChatAddress
from app.domain.lane import Priority

MAX_EVENT_BYTES = 256 * 1024
MAX_RECORD_BYTES = 900 * 1024

UserId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
EventType = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*\Z")]
#: The patterns and words told here are checked by `app.domain.event_rules`, which names every fault at once.
Address = Annotated[str, Meta(min_length=1, max_length=2048, extra_json_schema={"pattern": r"^[^\x00-\x1f\x7f]+$"})]
ChannelName = Annotated[str, Meta(extra_json_schema={"enum": list(CHANNEL_BY_NAME)})]
Text = Annotated[str, Meta(extra_json_schema={"pattern": r"\S"})]
Parts = Annotated[dict[str, Any], Meta(extra_json_schema={"minProperties": 1})]


class To(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Addresses given with the event; each stands before the user's own contact of that name.

    `chat` is a URL in the form of apprise; what is accepted has it sealed.
    """

    email: Address | None = None
    phone: Address | None = None
    webhook: Address | None = None
    push: Address | None = None
    chat: ChatAddress | None = None


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a client may override of the catalogue's settings for the event type, and when to send."""

    priority: Priority | None = None
    channels: Annotated[tuple[ChannelName, ...], Meta(min_length=1, max_length=16)] | None = None
    ttl_s: Annotated[int, Meta(ge=1)] | None = None
    send_at: Annotated[datetime, Meta(tz=True)] | None = None
    to: To | None = None


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One event: whom it concerns, what happened, what to tell."""

    user_id: UserId
    event_type: EventType
    content: Text | Parts
    metadata: dict[str, Any] = {}
    options: Options = Options()

    @property
    def send_at_ms(self) -> int:
        """When it is to be sent (Unix milliseconds); 0: at once."""
        send_at = self.options.send_at
        return 0 if send_at is None else round(send_at.timestamp() * 1000)
