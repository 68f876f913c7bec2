"""The tables, as a list of steps that only grows: `migrate` notes in `schema_version` how many were taken.

Every step can be repeated, and run by several processes at once: a table's id is given, so that two that make it at
the same time make the same one. `outcomes_by_notification`, `notifications_by_user` and `standings` are append-only
and in time order, so that whole files are dropped when their rows have expired; all else is small.
"""

from __future__ import annotations

#: Some 30 windows of the default retention: each is a file that a reader has to leave out.
WINDOW_DAYS = 3
BY_TIME = (
    "compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS',"
    f" 'compaction_window_size': {WINDOW_DAYS}}}"
)
#: For reads of many small partitions: few files that have not what is sought, and little to unpack of those that have.
SMALL_READS = "bloom_filter_fp_chance = 0.001 AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}"

#: `{id}` stands for the table's id, `{by_time}` and `{small_reads}` for the above.
STEPS = (
    "CREATE TABLE IF NOT EXISTS schema_version (id int PRIMARY KEY, steps int) WITH id = {id}",
    # One partition holds a notification; what its outcomes share is static.
    """
    CREATE TABLE IF NOT EXISTS outcomes_by_notification (
        notification_id text, delivery_id text, pass_no int, attempt int, status text,
        user_id text STATIC, event_type text STATIC, accepted_at_ms bigint STATIC, event blob STATIC,
        forgotten_at_ms bigint STATIC,
        channel text, priority text, reason text, detail text, provider text, provider_id text,
        at_ms bigint, until_at_ms bigint, routed_at_ms bigint,
        PRIMARY KEY (notification_id, delivery_id, pass_no, attempt, status)
    ) WITH id = {id} AND {by_time} AND {small_reads}
    """,
    """
    CREATE TABLE IF NOT EXISTS notifications_by_user (
        user_id text, month int, accepted_at_ms bigint, notification_id text,
        PRIMARY KEY ((user_id, month), accepted_at_ms, notification_id)
    ) WITH id = {id} AND CLUSTERING ORDER BY (accepted_at_ms DESC, notification_id DESC)
        AND {by_time} AND {small_reads}
    """,
    # Which months a user has notifications in, so that a listing need not try one after the other.
    """
    CREATE TABLE IF NOT EXISTS user_months (user_id text, month int, PRIMARY KEY (user_id, month))
    WITH id = {id} AND CLUSTERING ORDER BY (month DESC)
    """,
    # Heads of outcomes by part of the hour of acceptance, the strongest of a delivery first: what is counted.
    """
    CREATE TABLE IF NOT EXISTS standings (
        hour_ms bigint, part int, delivery_id text, pass_no int, rank int, at_ms bigint, channel text, status text,
        reason text, event_type text,
        PRIMARY KEY ((hour_ms, part), delivery_id, pass_no, rank, at_ms, channel, status, reason)
    ) WITH id = {id} AND {by_time} AND CLUSTERING ORDER BY
        (delivery_id ASC, pass_no DESC, rank DESC, at_ms DESC, channel DESC, status DESC, reason DESC)
    """,
    # Each writer's latest mark that something changed: in a part of an hour, or in an hour of a day (span).
    """
    CREATE TABLE IF NOT EXISTS changes (
        span text, start_ms bigint, part int, writer text, mark bigint, PRIMARY KEY ((span, start_ms), part, writer)
    ) WITH id = {id}
    """,
    # What was counted there, and the marks that had been found before.
    """
    CREATE TABLE IF NOT EXISTS counted (
        span text, start_ms bigint, part int, found blob, PRIMARY KEY ((span, start_ms), part)
    ) WITH id = {id}
    """,
    # By a keyed hash of the id; the row `*` says that somebody was.
    "CREATE TABLE IF NOT EXISTS forgotten_users (user_hash text PRIMARY KEY, forgotten_at_ms bigint) WITH id = {id}",
)
