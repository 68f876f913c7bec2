"""The tables. `MAIN` and `HISTORY` are two databases, so that bulk appends do not stand in the way of single rows.

Times are Unix milliseconds. There are no foreign keys: a user that is not stored may well have an inbox, preferences
or a history. A change here needs a migration of the same effect (`infrastructure/sql/migrations`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, SmallInteger, String, Table, Text

from infrastructure.sql.dialect import body, digest, key, long_text

USER_ID_LENGTH = 128
ID_LENGTH = 64
WORD_LENGTH = 64
PROVIDER_ID_LENGTH = 255
SHOWN_LENGTH = 255
DIGEST_LENGTH = 32

MAIN = MetaData()
HISTORY = MetaData()


def _forgotten_columns() -> tuple[Column[str], Column[int]]:
    return (
        Column("user_hash", key(WORD_LENGTH), primary_key=True),
        Column("forgotten_at_ms", BigInteger, nullable=False),
    )


users = Table(
    "users",
    MAIN,
    Column("user_id", key(USER_ID_LENGTH), primary_key=True),
    Column("contacts", body(), nullable=False),
    Column("locale", String(WORD_LENGTH), nullable=False),
    Column("timezone", String(WORD_LENGTH), nullable=False),
    Column("version", BigInteger, nullable=False, server_default="1"),
)

preferences = Table(
    "preferences",
    MAIN,
    Column("user_id", key(USER_ID_LENGTH), primary_key=True),
    Column("body", body(), nullable=False),
    Column("version", BigInteger, nullable=False, server_default="1"),
)

inbox = Table(
    "inbox",
    MAIN,
    Column("id", key(ID_LENGTH), primary_key=True),
    Column("notification_id", key(ID_LENGTH), nullable=False),
    Column("user_id", key(USER_ID_LENGTH), nullable=False),
    Column("event_type", String(WORD_LENGTH), nullable=False),
    Column("category", String(WORD_LENGTH), nullable=False),
    Column("subject", long_text(), nullable=False),
    Column("body", long_text(), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("read_at_ms", BigInteger),
    Index("inbox_newest", "user_id", "created_at_ms", "id"),
    Index("inbox_unread", "user_id", "read_at_ms", "created_at_ms", "id"),
)

parked = Table(
    "parked",
    MAIN,
    Column("delivery_id", key(ID_LENGTH), primary_key=True),
    Column("pass_no", Integer, primary_key=True, autoincrement=False),
    Column("queue", key(WORD_LENGTH), nullable=False),
    Column("priority_rank", SmallInteger, nullable=False),
    Column("reason", key(WORD_LENGTH), nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("body", body(), nullable=False),
    Column("user_id", key(USER_ID_LENGTH), nullable=False, server_default=""),
    Column("owner", key(WORD_LENGTH), nullable=False, default=""),
    Column("lease_until_ms", BigInteger, nullable=False, default=0),
    Column("parked_at_ms", BigInteger, nullable=False, default=0, server_default="0"),
    Index("parked_due", "priority_rank", "due_at_ms"),
    Index("parked_of_user", "user_id"),
)

api_keys = Table(
    "api_keys",
    MAIN,
    Column("id", key(ID_LENGTH), primary_key=True),
    Column("name", String(WORD_LENGTH), nullable=False),
    Column("scopes", String(WORD_LENGTH), nullable=False),
    Column("rate_limit", String(WORD_LENGTH), nullable=False),
    Column("digest", digest(DIGEST_LENGTH), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger, nullable=False),
    Column("last_used_at_ms", BigInteger, nullable=False),
)

# `id` is a keyed hash of platform and token, so that a token is there once, whoever registers it.
devices = Table(
    "devices",
    MAIN,
    Column("id", key(ID_LENGTH), primary_key=True),
    Column("user_id", key(USER_ID_LENGTH), nullable=False),
    Column("platform", String(WORD_LENGTH), nullable=False),
    Column("token", long_text(), nullable=False),
    Column("app", String(WORD_LENGTH), nullable=False),
    Column("locale", String(WORD_LENGTH), nullable=False),
    Column("registered_at_ms", BigInteger, nullable=False),
    Index("devices_of_user", "user_id", "registered_at_ms"),
)

# `address_id` is a keyed hash of channel and address, which is not stored. It holds while `since_ms` is the later time.
suppressions = Table(
    "suppressions",
    MAIN,
    Column("address_id", key(ID_LENGTH), primary_key=True),
    Column("reason", key(WORD_LENGTH), primary_key=True),
    Column("channel", String(WORD_LENGTH), nullable=False),
    Column("shown", String(SHOWN_LENGTH), nullable=False),
    Column("user_id", key(USER_ID_LENGTH), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("lifted_at_ms", BigInteger, nullable=False),
    Index("suppressions_of_user", "user_id"),
    Index("suppressions_newest", "since_ms"),
)

soft_bounces = Table(
    "soft_bounces",
    MAIN,
    Column("address_id", key(ID_LENGTH), primary_key=True),
    Column("delivery_id", key(ID_LENGTH), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

callback_receivers = Table(
    "callback_receivers",
    MAIN,
    Column("key_id", key(ID_LENGTH), primary_key=True),
    Column("url", long_text(), nullable=False),
    Column("salt", String(WORD_LENGTH), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("failing_since_ms", BigInteger, nullable=False),
    Column("last_error", String(WORD_LENGTH), nullable=False),
    Column("disabled_at_ms", BigInteger, nullable=False),
    Column("disabled_why", String(WORD_LENGTH), nullable=False),
)

# Those that are not taken yet. Who takes one over makes it due later; so it comes back where nobody settles it.
callbacks = Table(
    "callbacks",
    MAIN,
    Column("id", key(ID_LENGTH), primary_key=True),
    Column("key_id", key(ID_LENGTH), nullable=False),
    Column("body", body(), nullable=False),
    Column("made_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Index("callbacks_due", "key_id", "due_at_ms"),
)

# By a keyed hash of the id. In both databases, so that each can tell within the transaction that writes.
forgotten_users = Table("forgotten_users", MAIN, *_forgotten_columns())

notifications = Table(
    "notifications",
    HISTORY,
    Column("id", key(ID_LENGTH), primary_key=True),
    Column("user_id", key(USER_ID_LENGTH), nullable=False),
    Column("event_type", String(WORD_LENGTH), nullable=False),
    Column("accepted_at_ms", BigInteger, nullable=False),
    Column("event", body()),
    Index("notifications_newest", "user_id", "accepted_at_ms", "id"),
)

outcomes = Table(
    "outcomes",
    HISTORY,
    Column("notification_id", key(ID_LENGTH), primary_key=True),
    Column("delivery_id", key(ID_LENGTH), primary_key=True),
    Column("pass_no", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("status", key(WORD_LENGTH), primary_key=True),
    Column("channel", String(WORD_LENGTH), nullable=False),
    Column("priority", String(WORD_LENGTH), nullable=False),
    Column("reason", String(WORD_LENGTH), nullable=False),
    Column("detail", Text, nullable=False),
    Column("provider", String(WORD_LENGTH), nullable=False),
    Column("provider_id", String(PROVIDER_ID_LENGTH), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("until_at_ms", BigInteger, nullable=False),
    Column("routed_at_ms", BigInteger, nullable=False),
)

# How many deliveries stand so; `hour_ms` is the hour (UTC) in which their events were accepted. Rows may come to 0.
delivery_counts = Table(
    "delivery_counts",
    HISTORY,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("channel", key(WORD_LENGTH), primary_key=True),
    Column("event_type", key(WORD_LENGTH), primary_key=True),
    Column("status", key(WORD_LENGTH), primary_key=True),
    Column("reason", key(WORD_LENGTH), primary_key=True),
    Column("deliveries", BigInteger, nullable=False),
)

forgotten_users_of_history = Table("forgotten_users", HISTORY, *_forgotten_columns())
