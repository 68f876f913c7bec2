"""The event catalogue: what an event type means (types only; the file is read by `app.domain.catalogue_file`)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from app.domain.event import Event
from app.domain.lane import Priority


class EventRule(Struct, frozen=True, kw_only=True):
    """One event type. Templates are jinja2 sources.

    `critical` ignores preferences, mute and quiet hours, never limits. `over_user_limit` is `park` or `drop`;
    `in_doubt` is `resend` or `unknown`.
    """

    event_type: str
    category: str
    priority: Priority
    channels: tuple[str, ...]
    ttl_s: int
    subject: str
    text: str
    html: str = ""
    critical: bool = False
    over_user_limit: str = "park"
    in_doubt: str = "resend"


class Catalogue(Struct, frozen=True, kw_only=True):
    """All event types, and the rule for those not named."""

    rules: Mapping[str, EventRule]
    default: EventRule
    max_ttl_s: int

    def rule(self, event_type: str) -> EventRule:
        """The type's rule, or the default."""
        return self.rules.get(event_type, self.default)

    def priority(self, event: Event) -> Priority:
        """The priority in force: the client's, where given, else the catalogue's."""
        return event.options.priority or self.rule(event.event_type).priority

    def channels(self, event: Event) -> tuple[str, ...]:
        """The channels in force, each once."""
        return tuple(dict.fromkeys(event.options.channels or self.rule(event.event_type).channels))

    def ttl_s(self, event: Event) -> int:
        """Seconds it is worth sending for: the client's within the longest of the catalogue, else the type's."""
        return min(event.options.ttl_s or self.rule(event.event_type).ttl_s, self.max_ttl_s)

    def expires_at_ms(self, event: Event, accepted_at_ms: int) -> int:
        """When it is no longer worth sending: its ttl after acceptance, or after `send_at` where that is later."""
        return max(accepted_at_ms, event.send_at_ms) + self.ttl_s(event) * 1000
