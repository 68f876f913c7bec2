"""What became of a delivery in a pass: statuses, reason codes and the record on `notifications.outcomes`."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from app.domain.event import Event
from app.domain.lane import Priority


class Status(StrEnum):
    """Where a delivery or a notification stands. All but ACCEPTED and PARKED are final."""

    ACCEPTED = "accepted"
    PARKED = "parked"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SUPPRESSED = "suppressed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will be done."""
        return self not in (Status.ACCEPTED, Status.PARKED)


class Reason(StrEnum):
    """Why a delivery has its status: the catalogue of reason codes."""

    # accepted
    REPLAYED = "replayed"
    # suppressed
    PREFERENCE_OFF = "preference_off"
    MUTED = "muted"
    NO_ADDRESS = "no_address"
    ADDRESS_SUPPRESSED = "address_suppressed"
    CHANNEL_NOT_CONFIGURED = "channel_not_configured"
    # parked
    SCHEDULED = "scheduled"
    QUIET_HOURS = "quiet_hours"
    RATE_LIMITED_USER = "rate_limited_user"  # also suppressed (over limit: drop) and failed (slot beyond the expiry)
    PROVIDER_TRANSIENT = "provider_transient"
    PROVIDER_THROTTLED = "provider_throttled"
    BREAKER_OPEN = "breaker_open"
    LANE_FULL = "lane_full"
    SHUTDOWN = "shutdown"
    # failed
    INVALID_ADDRESS = "invalid_address"
    FORBIDDEN_ADDRESS = "forbidden_address"
    UNREGISTERED = "unregistered"
    INVALID_CONTENT = "invalid_content"
    TEMPLATE_ERROR = "template_error"
    PROVIDER_REJECTED = "provider_rejected"  # also bounced (the message or the sender is to blame, not the address)
    RETRIES_EXHAUSTED = "retries_exhausted"
    POISON = "poison"
    UNDECODABLE = "undecodable"
    NO_CHANNELS = "no_channels"
    # bounced
    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCE = "soft_bounce"
    # cancelled
    USER_FORGOTTEN = "user_forgotten"
    # expired
    TTL = "ttl"
    # cancelled
    CANCELLED_BY_CLIENT = "cancelled_by_client"
    DROPPED_BY_OPERATOR = "dropped_by_operator"
    # unknown
    IN_DOUBT = "in_doubt"


class OpenReason(StrEnum):
    """Why a delivery of a batch came back open: it will be sent again."""

    BUSY = "busy"
    NO_TIME = "no_time"
    BREAKER_OPEN = "breaker_open"
    PROVIDER_FULL = "provider_full"
    CLAIMS_DOWN = "claims_down"
    SQL_DOWN = "sql_down"
    KAFKA_DOWN = "kafka_down"
    STEP_FAILED = "step_failed"
    LATER_PART = "later_part"


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record on `notifications.outcomes`: durable once Kafka has acknowledged it. Times are Unix milliseconds.

    `delivery_id` and `channel` are empty for an outcome of the event as a whole. `event` rides along so that the
    history needs no second source. `until_at_ms` is set where the status is parked. `key_id` is the API key of who sent
    the event, for callbacks; the history does not keep it.
    """

    v: int = 1
    notification_id: str
    delivery_id: str = ""
    user_id: str
    event_type: str
    channel: str = ""
    priority: Priority = Priority.MEDIUM
    pass_no: int = 0
    attempt: int = 0
    status: Status
    reason: str = ""
    detail: str = ""
    provider: str = ""
    provider_id: str = ""
    at_ms: int
    until_at_ms: int = 0
    accepted_at_ms: int = 0
    routed_at_ms: int = 0
    event: Event | None = None
    key_id: str = ""
