"""What the service needs of the outside, named by role. Adapters live in `infrastructure`.

Every method may raise `StoreUnavailableError` unless it says otherwise; then what was asked may or may not have
happened. Times are Unix milliseconds.
"""

from __future__ import annotations

from app.domain.ports.callbacks import (
    CallbackCaller,
    CallbackReceivers,
    CallbackResult,
    PendingCallbacks,
)
from app.domain.ports.callers import (
    Allowance,
    ApiKeys,
    IdempotencyStore,
    RequestLimits,
    Stored,
)
from app.domain.ports.claims import (
    Cancels,
    Claimable,
    ClaimReview,
    Claims,
    Permit,
    SeenClaim,
    Taken,
    TakeState,
)
from app.domain.ports.devices import (
    DeadDevice,
    Devices,
)
from app.domain.ports.forgetting import (
    ForgottenUsers,
    PersonalData,
)
from app.domain.ports.history import (
    History,
    NotificationRecord,
    Standing,
    Statistics,
)
from app.domain.ports.kafka import (
    EventLog,
    OutcomeLog,
    OutcomePublisher,
    RawRecord,
)
from app.domain.ports.limits import (
    BatchLeases,
    Charged,
    LaneLimits,
    LimitBook,
    LimitsSeen,
    Pace,
    UserCharge,
    UserLimits,
)
from app.domain.ports.parked import (
    ParkedStore,
)
from app.domain.ports.providers import (
    Breakers,
    BreakerState,
    Channels,
    Message,
    Provider,
    ProviderHealth,
    ProviderRates,
    ProviderSwitches,
    ProviderTerms,
    Receipt,
    Renderer,
    SwitchedOff,
)
from app.domain.ports.receipts import (
    ReceiptReader,
    ReceiptReaders,
)
from app.domain.ports.suppressions import (
    KnownSuppressions,
    SoftBounces,
    Suppressions,
)
from app.domain.ports.targets import (
    Mark,
    TargetKey,
    TargetMarks,
)
from app.domain.ports.users import (
    Inbox,
    InboxEntry,
    KnownUser,
    KnownUsers,
    Page,
    PreferenceStore,
    StoredPreferences,
    Users,
)

__all__ = [
    "Allowance",
    "ApiKeys",
    "BatchLeases",
    "BreakerState",
    "Breakers",
    "CallbackCaller",
    "CallbackReceivers",
    "CallbackResult",
    "Cancels",
    "Channels",
    "Charged",
    "ClaimReview",
    "Claimable",
    "Claims",
    "DeadDevice",
    "Devices",
    "EventLog",
    "ForgottenUsers",
    "History",
    "IdempotencyStore",
    "Inbox",
    "InboxEntry",
    "KnownSuppressions",
    "KnownUser",
    "KnownUsers",
    "LaneLimits",
    "LimitBook",
    "LimitsSeen",
    "Mark",
    "Message",
    "NotificationRecord",
    "OutcomeLog",
    "OutcomePublisher",
    "Pace",
    "Page",
    "ParkedStore",
    "PendingCallbacks",
    "Permit",
    "PersonalData",
    "PreferenceStore",
    "Provider",
    "ProviderHealth",
    "ProviderRates",
    "ProviderSwitches",
    "ProviderTerms",
    "RawRecord",
    "Receipt",
    "ReceiptReader",
    "ReceiptReaders",
    "Renderer",
    "RequestLimits",
    "SeenClaim",
    "SoftBounces",
    "Standing",
    "Statistics",
    "Stored",
    "StoredPreferences",
    "Suppressions",
    "SwitchedOff",
    "TakeState",
    "Taken",
    "TargetKey",
    "TargetMarks",
    "UserCharge",
    "UserLimits",
    "Users",
]
