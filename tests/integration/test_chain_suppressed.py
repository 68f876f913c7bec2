"""Suppressed addresses in the chain: nothing goes there; one query a batch, and without SQL what was last known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.domain.delivery import Delivery
from app.domain.errors import StoreUnavailableError
from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.limit_rules import user_rates
from app.domain.ports import Suppressions
from app.domain.suppression import Destination, SuppressionReason
from app.domain.users import Contacts, User
from infrastructure import wiring
from infrastructure.redis.limit_book import RedisLimitBook
from infrastructure.sql.engine import shared_engine
from tasks.store_watch import NO_WATCH
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery
from tests.support.deliveries import event as event_of
from tests.support.explaining import explainer_of_steps

STOP, HARD = SuppressionReason.STOP, SuppressionReason.HARD_BOUNCE
ANNA = Destination("email", "anna@example.com")
SUPPRESSED = ("suppressed", "address_suppressed")


@pytest.fixture
def provider(chain: Chain) -> ScriptedProvider:
    made = ScriptedProvider()
    chain.provide("email", made)
    return made


@pytest.fixture
def store(chain: Chain) -> Suppressions:
    """As HTTP and commands have it: changes are told to Redis."""
    return wiring.suppressions(chain.context.settings)


def to(address: str, **given: Any) -> Delivery:
    values = {"channel": "email", "options": Options(to=To(email=address))}
    return delivery(**(values | given))


def test_nothing_goes_to_a_suppressed_address(chain: Chain, provider: ScriptedProvider, store: Suppressions) -> None:
    chain.context.users.put(User(id="anna", contacts=Contacts(email="Anna@Example.com")))
    store.suppress(ANNA, HARD, since_ms=1)
    some = [to("ANNA@example.com"), to("ben@example.com"), delivery(channel="email", user_id="anna")]
    ran = chain.run(*some)
    assert ran.told == [SUPPRESSED, ("sent", ""), SUPPRESSED]
    assert provider.calls == [some[1].id]
    assert [one.detail for one in ran.outcomes] == ["hard_bounce", "", "hard_bounce"]
    assert ran.open == {}


def test_what_is_critical_does_not_go_there_either(
    chain: Chain, provider: ScriptedProvider, store: Suppressions
) -> None:
    store.suppress(ANNA, HARD, since_ms=1)
    assert chain.run(to(ANNA.address, event_type="critical", priority=Priority.HIGH)).told == [SUPPRESSED]
    assert provider.calls == []


def test_what_is_lifted_goes_out_again(chain: Chain, provider: ScriptedProvider, store: Suppressions) -> None:
    store.suppress(ANNA, STOP, since_ms=1)
    store.lift(ANNA, 2)
    assert chain.run(to(ANNA.address)).told == [("sent", "")]


def test_other_channels_are_not_asked_for(chain: Chain, store: Suppressions) -> None:
    chain.using(suppressions=Away())
    assert chain.run(delivery()).told == [("sent", "")]
    chain.provide("webhook", ScriptedProvider())
    hook = delivery(channel="webhook", options=Options(to=To(webhook=ANNA.address)))
    assert chain.run(hook).told == [("sent", "")]


@pytest.mark.parametrize("count", [1, 40])
def test_a_batch_of_any_size_asks_once_for_each_table(
    chain: Chain, provider: ScriptedProvider, store: Suppressions, count: int
) -> None:
    chain.run(to("first@example.com"))  # what is asked once only
    some = [to(f"user-{number}@example.com", user_id=f"user-{number}") for number in range(count)]
    store.suppress(Destination("email", "user-0@example.com"), STOP, since_ms=1)
    with statements(shared_engine(chain.context.settings.database_url, chain.context.settings.users_timeout_s)) as seen:
        ran = chain.run(*some)
    assert ran.told[0] == SUPPRESSED
    assert ran.told[1:] == [("sent", "")] * (count - 1)
    tables = [one.partition("FROM ")[2].split()[0] for one in seen]
    asked = ["users", "suppressions", *(["preferences"] if count > 1 else [])]
    assert [name for name in tables if name != "forgotten_users"] == asked


class statements:  # noqa: N801 - reads as what it gives
    """The queries of an engine inside the block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: list[str] = []

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            self._seen.append(statement)

    def __enter__(self) -> list[str]:
        event.listen(self._engine, "before_cursor_execute", self._note)
        return self._seen

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)


class Away:
    def find(self, destinations: Any) -> Any:
        raise StoreUnavailableError("no answer")


class TestSqlAway:
    """High goes by what was last known; the others wait."""

    @pytest.fixture(autouse=True)
    def _away(self, chain: Chain, tmp_path: Path, provider: ScriptedProvider) -> None:
        place = tmp_path / "a folder where the file should be"
        place.mkdir()
        settings = dataclasses.replace(chain.context.settings, database_url=f"sqlite:///{place}")
        self.there = chain.context.suppressions
        self.provider = provider
        chain.using(suppressions=wiring.quick_suppressions(settings), sql_watch=NO_WATCH)

    @pytest.mark.parametrize("priority", [Priority.MEDIUM, Priority.LOW])
    def test_the_others_wait(self, chain: Chain, store: Suppressions, priority: Priority) -> None:
        store.suppress(ANNA, STOP, since_ms=1)
        some = [to(ANNA.address, priority=priority), to("ben@example.com", priority=priority)]
        assert chain.run(*some).told == [("open", "sql_down")] * 2
        chain.using(suppressions=self.there)
        assert chain.run(*some).told == [SUPPRESSED, ("sent", "")]

    def test_high_goes_by_what_was_changed_before(self, chain: Chain, store: Suppressions) -> None:
        store.suppress(ANNA, STOP, since_ms=1)
        some = [to(ANNA.address, priority=Priority.HIGH), to("ben@example.com", priority=Priority.HIGH)]
        assert chain.run(*some).told == [SUPPRESSED, ("sent", "")]
        store.lift(ANNA, 2)
        assert chain.run(to(ANNA.address, priority=Priority.HIGH)).told == [("sent", "")]

    def test_high_leaves_what_it_has_read(self, chain: Chain) -> None:
        uncached = dataclasses.replace(chain.context.settings, contacts_cache_s=0.0)
        wiring.suppressions(uncached).suppress(ANNA, STOP, since_ms=1)
        away = chain.context.suppressions
        assert chain.run(to(ANNA.address, priority=Priority.HIGH)).told == [("sent", "")], "nothing is known of it"
        chain.using(suppressions=self.there)
        chain.run(to(ANNA.address, priority=Priority.HIGH))
        chain.using(suppressions=away)
        assert chain.run(to(ANNA.address, priority=Priority.HIGH)).told == [SUPPRESSED]

    def test_without_redis_as_well_high_goes_out(self, chain: Chain, store: Suppressions) -> None:
        store.suppress(ANNA, STOP, since_ms=1)
        away = dataclasses.replace(chain.context.settings, redis_url="redis://127.0.0.1:1/0")
        chain.using(known_suppressions=wiring.known_suppressions(away))
        assert chain.run(to(ANNA.address, priority=Priority.HIGH)).told == [("sent", "")]

    @pytest.mark.parametrize("priority", list(Priority))
    def test_an_explanation_says_the_same(self, chain: Chain, store: Suppressions, priority: Priority) -> None:
        store.suppress(ANNA, STOP, since_ms=1)
        [told] = explain(chain, ANNA.address, priority)
        [happened] = chain.run(to(ANNA.address, priority=priority)).told
        assert (told.verdict.status, told.verdict.reason) == happened


def explain(chain: Chain, address: str, priority: Priority) -> Any:
    book = RedisLimitBook(wiring._redis(chain.context.settings))
    options = Options(to=To(email=address), channels=("email",), priority=priority)
    explainer = explainer_of_steps(chain.context, book, user_rates(None, {}))
    return explainer.explain(event_of(options=options)).deliveries


def test_an_explanation_tells_why(chain: Chain, provider: ScriptedProvider, store: Suppressions) -> None:
    store.suppress(ANNA, STOP, since_ms=1)
    [told] = explain(chain, "Anna@example.com", Priority.MEDIUM)
    verdict = told.verdict
    assert (verdict.status, verdict.reason, verdict.detail) == (*SUPPRESSED, "stop")
    assert (told.address.masked, told.address.suppressed) == ("A***@example.com", "stop")
    [told] = explain(chain, "ben@example.com", Priority.MEDIUM)
    assert (told.verdict.status, told.address.suppressed) == ("sent", "")
