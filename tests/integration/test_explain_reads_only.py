"""Explaining an event asks each store once, and only reads."""

from __future__ import annotations

from app.domain.event import Options
from app.domain.users import Contacts, Preferences, QuietHours, User
from app.settings import Settings
from infrastructure.redis.client import make_client
from tests.support.deliveries import event
from tests.support.explaining import explainer_of_stores
from tests.support.http_services import CATALOGUE, SECRET
from tests.support.redis_server import RedisServer
from tests.support.sql_stores import Stores


def test_three_queries_and_no_key_written(stores: Stores, redis_server: RedisServer) -> None:
    client = make_client(redis_server.url(), timeout_s=5.0)
    stores.users.put(User(id="user-001", contacts=Contacts(email="anna@example.com")))
    stores.preferences.put("user-001", Preferences(quiet_hours=QuietHours(start="00:00", end="12:00")))
    explainer = explainer_of_stores(Settings.load({}), stores, client, CATALOGUE, SECRET)
    with stores.statements() as seen:
        explainer.explain(event(options=Options(channels=("email", "in_app", "webhook", "log"))))
    assert [statement.split()[0] for statement in seen] == ["SELECT", "SELECT", "SELECT"]
    assert client.keys("*") == []
    client.close()
