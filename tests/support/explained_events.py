"""Events, users, rules and limits in all combinations that decide something, for hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from hypothesis import strategies as st

from app.domain.catalogue import EventRule
from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.rate import Rate
from app.domain.users import Contacts, Preferences, QuietHours, User

CHANNELS = ("email", "webhook", "in_app", "log", "sms")
MAX_TTL_S = 100_000
_HOUR_MS = 3_600_000
T = TypeVar("T")


def rarely(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """One in six, else None."""
    return st.integers(0, 5).flatmap(lambda number: strategy if number == 5 else st.none())


def mostly(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """All but one in six, which is None."""
    return st.integers(0, 5).flatmap(lambda number: st.none() if number == 5 else strategy)


#: Days on which clocks change somewhere, and one on which none does.
_DAYS = [datetime(2026, *day, tzinfo=UTC) for day in ((3, 8), (3, 29), (4, 4), (7, 1), (10, 25))]

emails = st.sampled_from(
    ["anna@example.com", "Anna@Bücher.example", "a.b@example.com", "success@simulator.invalid", "no address"]
)
webhooks = st.sampled_from(
    [
        "https://hooks.example/a?key=1",
        "http://hooks.example:81",
        "http://127.0.0.1/a",
        "http://user@hooks.example/",
        "https://success.simulator.invalid/",
        "x",
    ]
)
times = st.builds(
    lambda day, after: int(day.timestamp() * 1000) + after, st.sampled_from(_DAYS), st.integers(0, 30 * _HOUR_MS)
)
timezones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Nowhere/Land"]
)
clock_times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
ttls = st.sampled_from([MAX_TTL_S, 86_400, 7 * 3600, 3600, 60, 1])
channel_lists = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=5).map(tuple)
user_rates = st.builds(Rate, st.integers(1, 4), st.sampled_from([60, 3600, 86_400]), st.integers(1, 3))
#: Slow enough that none of it comes back while the test looks, in `_paced` limits of one at once.
lane_rates = st.builds(Rate, st.integers(1, 60), st.sampled_from([60, 3600]), st.integers(1, 5))


@dataclass(frozen=True)
class World:
    """All that decides. `charged` and `asked` are channels and queues whose limits were used before."""

    now_ms: int
    rule: EventRule
    options: Options
    is_stored: bool
    contacts: Contacts
    timezone: str
    preferences: Preferences | None
    user_rate: Rate | None
    channel_rates: dict[str, Rate]
    charged: list[str]
    everything: Rate | None
    email_rate: Rate | None
    priority_rate: Rate | None
    asked: list[str]

    def user(self, user_id: str) -> User:
        return User(id=user_id, contacts=self.contacts, timezone=self.timezone)


#: Nothing stands against it.
PLAIN = World(
    now_ms=1_782_907_200_000,
    rule=EventRule(
        event_type="kind",
        category="social",
        priority=Priority.MEDIUM,
        channels=("email", "log"),
        ttl_s=MAX_TTL_S,
        subject="{{ event_type }}",
        text="{{ content }}",
    ),
    options=Options(),
    is_stored=True,
    contacts=Contacts(email="anna@example.com"),
    timezone="UTC",
    preferences=None,
    user_rate=None,
    channel_rates={},
    charged=[],
    everything=None,
    email_rate=None,
    priority_rate=None,
    asked=[],
)
rules = st.builds(
    EventRule,
    event_type=st.just("kind"),
    category=st.sampled_from(["social", "billing"]),
    priority=st.sampled_from(Priority),
    channels=channel_lists,
    ttl_s=ttls,
    subject=st.sampled_from(["{{ event_type }}"] * 3 + ["{{ metadata.title }}"]),
    text=st.just("{{ content }} for {{ user.timezone }}"),
    critical=st.sampled_from([False, False, False, True]),
    over_user_limit=st.sampled_from(["park", "drop"]),
)
tos = st.builds(To, email=st.none() | emails, webhook=st.none() | webhooks)
switches = st.dictionaries(
    st.sampled_from(["social", "billing", "*"]),
    st.dictionaries(st.sampled_from([*CHANNELS, "*"]), st.booleans(), min_size=1, max_size=3),
    max_size=2,
)


def _options(now_ms: int) -> st.SearchStrategy[Options]:
    sent_at = st.sampled_from([-1000, 0, 1, 3_600_000]).map(
        lambda ahead_ms: datetime.fromtimestamp((now_ms + ahead_ms) / 1000, UTC)
    )
    return st.builds(
        Options,
        priority=rarely(st.sampled_from(Priority)),
        channels=rarely(channel_lists),
        ttl_s=rarely(ttls),
        send_at=rarely(sent_at),
        to=rarely(tos),
    )


def _preferences(now_ms: int) -> st.SearchStrategy[Preferences]:
    return st.builds(
        Preferences,
        channels=switches,
        muted_until_ms=st.sampled_from([0, 0, 0, now_ms - 1, now_ms, now_ms + 1, now_ms + _HOUR_MS]),
        quiet_hours=mostly(st.builds(QuietHours, start=clock_times, end=clock_times)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """One of them."""
    now_ms = draw(times)
    return World(
        now_ms=now_ms,
        rule=draw(rules),
        options=draw(_options(now_ms)),
        is_stored=draw(st.sampled_from([True, True, True, False])),
        contacts=draw(st.builds(Contacts, email=mostly(emails), webhook=mostly(webhooks))),
        timezone=draw(timezones),
        preferences=draw(mostly(_preferences(now_ms))),
        user_rate=draw(mostly(user_rates)),
        channel_rates=draw(st.dictionaries(st.sampled_from(CHANNELS), user_rates, max_size=2)),
        charged=draw(st.lists(st.sampled_from(CHANNELS), max_size=6)),
        everything=draw(rarely(lane_rates)),
        email_rate=draw(rarely(lane_rates)),
        priority_rate=draw(rarely(lane_rates)),
        asked=draw(st.lists(st.sampled_from(["high.email", "medium.email", "low.log"]), max_size=3)),
    )
