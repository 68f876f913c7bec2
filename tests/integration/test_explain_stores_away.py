"""With a store away `explain` foresees what the steps then do: high goes on where it can, the others wait."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.limit_rules import user_rates
from app.domain.rate import parse_rate
from app.domain.users import Contacts, Preferences, User
from app.settings import Settings
from infrastructure import wiring
from infrastructure.redis.client import make_client
from infrastructure.redis.limit_book import RedisLimitBook
from tasks.context import StepContext
from tasks.store_watch import NO_WATCH
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery, event
from tests.support.explaining import explainer_of_steps
from tests.support.ports import free_port

USERS = user_rates(parse_rate("600/h"), {})
OFF = Preferences(channels={"*": {"*": False}})


@pytest.fixture
def away(chain: Chain, tmp_path: Path) -> Settings:
    """The chain's settings, with stores where nobody is."""
    chain.provide("email", ScriptedProvider())
    return dataclasses.replace(
        chain.context.settings,
        database_url=f"sqlite:///{tmp_path / 'nowhere' / 'notify.db'}",
        redis_url=f"redis://127.0.0.1:{free_port()}/1",
    )


def without(store: str, context: StepContext, away: Settings) -> StepContext:
    if store == "users":
        return dataclasses.replace(context, users=wiring.users(away))
    if store == "preferences":
        return dataclasses.replace(context, preferences=wiring.preferences(away))
    return dataclasses.replace(
        context, claims=wiring.claims(away), user_limits=wiring.user_limits(away), breakers=wiring.breakers(away)
    )


@pytest.mark.parametrize("store", ["users", "preferences", "redis"])
@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("channel", ["email", "log"])
@pytest.mark.parametrize("to", [None, To(email="anna@example.com")], ids=["stored", "inline"])
@pytest.mark.parametrize("event_type", ["plain", "critical"])
def test_the_verdict_is_what_the_steps_decide(
    chain: Chain, away: Settings, store: str, priority: Priority, channel: str, to: To | None, event_type: str
) -> None:
    chain.context = without(store, chain.context, away)
    options = Options(priority=priority, channels=(channel,), to=to)
    url = away.redis_url if store == "redis" else chain.context.settings.redis_url
    client = make_client(url, timeout_s=1.0)
    explainer = explainer_of_steps(chain.context, RedisLimitBook(client), USERS)
    found = explainer.explain(event(event_type=event_type, options=options))
    client.close()
    [one] = found.deliveries
    told = [(one.verdict.status, one.verdict.reason)]
    ran = chain.run(delivery(event_type=event_type, options=options, priority=priority, channel=channel))
    assert ran.told == told
    unknown = {
        "users": found.user.unknown,
        "preferences": one.preferences.unknown,
        "redis": one.user_limits.unknown,
    }
    assert [name for name, why in unknown.items() if why] == [store]


@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize(
    "contacts", [None, Contacts(), Contacts(email="anna@example.com")], ids=["none", "no", "email"]
)
@pytest.mark.parametrize("preferences", [None, Preferences(), OFF], ids=["none", "defaults", "off"])
@pytest.mark.parametrize("is_removed", [False, True])
@pytest.mark.parametrize("to", [None, To(email="anna@example.com")], ids=["stored", "inline"])
def test_what_is_known_of_a_user_decides_as_in_the_steps(
    chain: Chain,
    away: Settings,
    priority: Priority,
    contacts: Contacts | None,
    preferences: Preferences | None,
    is_removed: bool,
    to: To | None,
) -> None:
    options = Options(priority=priority, channels=("email",), to=to)
    posted = event(options=options)
    users = wiring.users(chain.context.settings)
    if is_removed:
        users.delete(posted.user_id)
        time.sleep(0.002)
    if contacts is not None:
        users.put(User(id=posted.user_id, contacts=contacts))
    if preferences is not None:
        wiring.preferences(chain.context.settings).put(posted.user_id, preferences)
    chain.using(users=wiring.users(away), preferences=wiring.preferences(away), sql_watch=NO_WATCH)
    client = make_client(chain.context.settings.redis_url, timeout_s=1.0)
    [one] = explainer_of_steps(chain.context, RedisLimitBook(client), USERS).explain(posted).deliveries
    client.close()
    ran = chain.run(delivery(options=options, priority=priority, channel="email", user_id=posted.user_id))
    assert ran.told == [(one.verdict.status, one.verdict.reason)]
