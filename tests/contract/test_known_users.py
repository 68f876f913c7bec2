"""Port KnownUsers on Redis: copies that are never replaced by older ones, whoever is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from redis import Redis

from app.domain.errors import HalfStoredError, StoreUnavailableError
from app.domain.ports import KnownUser, StoredPreferences
from app.domain.users import Contacts, Preferences, QuietHours, Recipient, User
from infrastructure.redis.client import make_client
from infrastructure.redis.known_users import RedisKnownUsers
from infrastructure.sql.preferences import SqlPreferences
from infrastructure.sql.users import SqlUsers
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.sql_stores import Stores

ANNA = Recipient(
    user_id="anna", contacts=Contacts(email="anna@example.com"), locale="de", timezone="Europe/Berlin", is_known=True
)
OFF = Preferences(channels={"*": {"*": False}}, quiet_hours=QuietHours(start="22:00", end="07:00"))

#: As another version, or another server, would have left a copy.
CHANGE = """
local user = cmsgpack.unpack(redis.call('GET', KEYS[1]))
if ARGV[1] == 'life' then user[1] = ARGV[2] else user[3][2] = ARGV[2] end
redis.call('SET', KEYS[1], cmsgpack.pack(user))
"""


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    made = make_client(redis_server.url(), 2.0)
    yield made
    made.close()


@pytest.fixture
def known(client: Redis) -> RedisKnownUsers:
    return RedisKnownUsers(client, ttl_s=60)


def copy(version: int, *, wants: bool = True, user_id: str = "anna") -> KnownUser:
    """Both halves of one version, telling it by the contacts."""
    contacts = Contacts(email=f"v{version}@example.com")
    preferences = Preferences(muted_until_ms=version) if wants else OFF
    recipient = structs.replace(ANNA, user_id=user_id, contacts=contacts, version=version)
    return KnownUser(user_id=user_id, recipient=recipient, preferences=StoredPreferences(preferences, version))


def test_what_is_remembered_is_found_whole(known: RedisKnownUsers) -> None:
    some = [
        KnownUser(user_id="anna", recipient=structs.replace(ANNA, version=3), preferences=StoredPreferences(OFF, 4)),
        copy(5, user_id="\N{PARTY POPPER} b:{n} "),
    ]
    known.remember(some)
    assert known.find(["anna", "nobody", some[1].user_id]) == {one.user_id: one for one in some}


def test_nobody_is_found_without_asking(known: RedisKnownUsers) -> None:
    assert known.find([]) == {}


def test_an_older_copy_never_replaces_a_newer_one_and_an_equal_one_does(known: RedisKnownUsers) -> None:
    known.remember([copy(7)])
    known.remember([copy(6, wants=False)])
    assert known.find(["anna"]) == {"anna": copy(7)}
    known.remember([copy(7, wants=False)])
    assert known.find(["anna"]) == {"anna": copy(7, wants=False)}


def test_the_halves_are_apart(known: RedisKnownUsers) -> None:
    known.remember([copy(7)])
    known.remember([KnownUser(user_id="anna", preferences=StoredPreferences(OFF, 8))])
    found = known.find(["anna"])["anna"]
    assert found.recipient == copy(7).recipient
    assert found.preferences == StoredPreferences(OFF, 8)


def test_that_there_is_nothing_is_known_until_there_is_something(known: RedisKnownUsers) -> None:
    nothing = KnownUser(
        user_id="anna",
        recipient=Recipient(user_id="anna", version=0),
        preferences=StoredPreferences(Preferences(), 0),
    )
    known.remember([nothing])
    assert known.find(["anna"]) == {"anna": nothing}
    known.remember([copy(1)])
    known.remember([nothing])
    assert known.find(["anna"]) == {"anna": copy(1)}


def test_forgetting_drops_the_copies_and_takes_no_older_ones(known: RedisKnownUsers) -> None:
    known.remember([copy(7)])
    known.forget("anna", 5, 1000)
    gone = KnownUser(user_id="anna", forgotten_at_ms=1000)
    assert known.find(["anna"]) == {"anna": gone}
    known.remember([copy(7), copy(0)])
    assert known.find(["anna"]) == {"anna": gone}
    known.remember([copy(9)])
    assert known.find(["anna"]) == {"anna": structs.replace(copy(9), forgotten_at_ms=1000)}
    known.forget("anna", 5, 900)
    assert known.find(["anna"]) == {"anna": gone}


def test_copies_go_by_themselves(client: Redis) -> None:
    brief = RedisKnownUsers(client, ttl_s=0.05)
    brief.remember([copy(1)])
    brief.forget("ben", 1, 1)
    time.sleep(0.1)
    assert brief.find(["anna", "ben"]) == {}
    assert client.keys("*") == []


def test_copies_from_the_life_of_another_redis_are_not_trusted(known: RedisKnownUsers, client: Redis) -> None:
    life = known.remember([copy(7)])
    assert life == client.info("server")["run_id"]
    client.eval(CHANGE, 1, "known:anna", "life", "of a server that was restored from a file")
    assert known.find(["anna"]) == {}
    assert known.remember([copy(6)]) == life, "but their versions are"
    assert known.find(["anna"]) == {}
    known.remember([KnownUser(user_id="anna", preferences=StoredPreferences(OFF, 7))])
    assert known.find(["anna"])["anna"].recipient is None
    known.remember([copy(8)])
    assert known.find(["anna"]) == {"anna": copy(8)}


def test_what_another_version_of_the_service_wrote_is_nothing(known: RedisKnownUsers, client: Redis) -> None:
    known.remember([copy(7)])
    client.eval(CHANGE, 1, "known:anna", "prefs", '{"from the future": 1}')
    assert known.find(["anna"])["anna"].preferences is None


def test_a_redis_that_is_away_is_an_unavailable_store() -> None:
    away = RedisKnownUsers(make_client(f"redis://127.0.0.1:{free_port()}/0", 0.5), ttl_s=60)
    for ask in (lambda: away.find(["anna"]), lambda: away.remember([copy(1)]), lambda: away.forget("anna", 1, 1)):
        with pytest.raises(StoreUnavailableError):
            ask()


# with the stores that write through


def test_a_reader_that_is_slow_cannot_put_back_what_a_change_replaced(stores: Stores, known: RedisKnownUsers) -> None:
    """Read, then a change from beginning to end, then the reader writes: whatever the clocks say."""
    users, preferences = SqlUsers(stores.engines[0], known), SqlPreferences(stores.engines[0], known)
    users.put(User(id="anna", contacts=Contacts(email="old@example.com")))
    preferences.put("anna", Preferences())
    old = read(users, preferences)
    users.put(User(id="anna", contacts=Contacts(email="new@example.com")))
    preferences.put("anna", OFF)
    known.remember([old])
    found = known.find(["anna"])["anna"]
    assert found == read(users, preferences)
    assert found.preferences is not None
    assert found.preferences.preferences == OFF


def test_a_reader_that_found_nothing_cannot_hide_what_came_meanwhile(stores: Stores, known: RedisKnownUsers) -> None:
    users, preferences = SqlUsers(stores.engines[0], known), SqlPreferences(stores.engines[0], known)
    nothing = read(users, preferences)
    preferences.put("anna", OFF)
    known.remember([nothing])
    found = known.find(["anna"])["anna"]
    assert found.preferences is not None
    assert found.preferences.preferences == OFF


def test_readers_and_writers_at_random_end_with_what_is_stored(stores: Stores, known: RedisKnownUsers) -> None:
    users, preferences = SqlUsers(stores.engines[0], known), SqlPreferences(stores.engines[0], known)
    is_over = threading.Event()

    def keep_reading() -> None:
        while not is_over.is_set():
            known.remember([read(users, preferences)])

    readers = [threading.Thread(target=keep_reading) for _ in range(3)]
    for one in readers:
        one.start()
    try:
        for number in range(60):
            preferences.put("anna", Preferences(muted_until_ms=number))
            found = known.find(["anna"])["anna"].preferences
            assert found is not None
            assert found.preferences.muted_until_ms == number, "what a PUT has answered holds from then on"
    finally:
        is_over.set()
        for one in readers:
            one.join()
    assert known.find(["anna"]) == {"anna": read(users, preferences)}


def test_a_user_that_is_deleted_leaves_no_copy(stores: Stores, known: RedisKnownUsers) -> None:
    users, preferences = SqlUsers(stores.engines[0], known), SqlPreferences(stores.engines[0], known)
    users.put(User(id="anna", contacts=Contacts(email="old@example.com")))
    preferences.put("anna", OFF)
    old = read(users, preferences)
    users.delete("anna")
    known.remember([old])
    found = known.find(["anna"])["anna"]
    assert (found.recipient, found.preferences) == (None, None)


def test_a_change_whose_copy_cannot_be_written_is_stored_and_told_so(tmp_path: Path, stores: Stores) -> None:
    away = RedisKnownUsers(make_client(f"redis://127.0.0.1:{free_port()}/0", 0.5), ttl_s=60)
    with pytest.raises(HalfStoredError, match="repeat"):
        SqlPreferences(stores.engines[0], away).put("anna", OFF)
    assert stores.preferences.get("anna") == OFF
    with pytest.raises(HalfStoredError):
        SqlUsers(stores.engines[0], away).put(User(id="anna"))
    with pytest.raises(HalfStoredError):
        SqlUsers(stores.engines[0], away).delete("anna")
    assert stores.users.get("anna") is None


def read(users: SqlUsers, preferences: SqlPreferences) -> KnownUser:
    """As a batch of high reads it."""
    return KnownUser(
        user_id="anna",
        recipient=users.recipients(["anna"]).get("anna") or Recipient(user_id="anna", version=0),
        preferences=preferences.stored(["anna"]).get("anna") or StoredPreferences(Preferences(), 0),
    )
