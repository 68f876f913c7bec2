"""Deliveries to test addresses: they go the whole way, no provider is called, and nothing is learned of one by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from redis import Redis

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.delivery import Delivery
from app.domain.device import Device
from app.domain.errors import StoreUnavailableError
from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.limit_rules import user_rates
from app.domain.ports import ProviderTerms, SwitchedOff
from app.domain.rate import parse_rate
from app.domain.users import Contacts, Preferences, User
from infrastructure import wiring
from infrastructure.channels import simulator
from infrastructure.channels.registry import ChannelRegistry
from infrastructure.redis.client import make_client
from infrastructure.redis.limit_book import RedisLimitBook
from tasks.store_watch import NO_WATCH
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery, event
from tests.support.explaining import explainer_of_steps
from tests.support.redis_server import RedisServer

FORMS = {
    "email": "{}@simulator.invalid",
    "push": "simulator-{}",
    "webhook": "https://{}.simulator.invalid/hook",
    "chat": "simulator://{}",
}
NUMBERS = {"success": "0100", "bounce": "0101", "transient": "0102", "slow": "0103", "unanswered": "0104"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "SLOW_S", 0.01)


@pytest.fixture
def redis_client(chain_redis: RedisServer) -> Iterator[Redis]:
    client = make_client(chain_redis.url(1), timeout_s=5.0)
    yield client
    client.close()


class Heard:
    """A ProviderHealth that remembers whose calls it was told of."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def shares(self, names: Sequence[str]) -> Mapping[str, float]:
        return dict.fromkeys(names, 1.0)

    def report(self, name: str, *, is_bad: bool) -> None:
        self.names.append(name)


class Away:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> Any:
        raise StoreUnavailableError(f"{name}: away")


def address(channel: str, word: str) -> str:
    return f"+1500555{NUMBERS[word]}" if channel == "sms" else FORMS[channel].format(word)


def options(channel: str, word: str) -> Options:
    return Options(to=To(**{str(CHANNEL_BY_NAME[channel].contact): address(channel, word)}))


def to(channel: str, word: str, **given: Any) -> Delivery:
    return delivery(channel=channel, options=options(channel, word), **given)


def mail(to: str = "anna@example.com", **given: Any) -> Delivery:
    return delivery(channel="email", options=Options(to=To(email=to)), **given)


def register(chain: Chain, name: str, platform: str, token: str) -> None:
    values: dict[str, Any] = {"id": name, "platform": platform, "token": token}
    chain.context.devices.register(Device(user_id="anna", registered_at_ms=1, **values), 9)


@pytest.mark.parametrize("channel", [*FORMS, "sms"])
@pytest.mark.parametrize("is_configured", [True, False], ids=["configured", "not configured"])
def test_each_channel_answers_as_the_address_says_and_calls_nobody(
    chain: Chain, channel: str, is_configured: bool
) -> None:
    terms = ProviderTerms(platforms=("fcm",))
    provider = ScriptedProvider(terms=terms)
    chain.provide(channel, *([provider] if is_configured else []))
    ran = chain.run(*(to(channel, word, event_type="unsure") for word in NUMBERS))
    bounced = "unregistered" if channel == "push" else "provider_rejected"
    assert ran.told == [
        ("sent", ""),
        ("failed", bounced),
        ("parked", "provider_transient"),
        ("sent", ""),
        ("unknown", "in_doubt"),
    ]
    assert provider.calls == []
    assert {(one.provider, one.attempt) for one in ran.outcomes} == {("test", 1)}
    assert ran.outcomes[0].provider_id == f"test-{ran.outcomes[0].delivery_id}"
    assert "simulated" in ran.outcomes[1].detail


def test_a_transient_one_goes_on_failing_until_its_retries_are_spent(chain: Chain) -> None:
    one = to("email", "transient", retries=8)
    assert chain.run(one).told == [("failed", "retries_exhausted")]


def test_a_users_contact_may_be_one(chain: Chain) -> None:
    chain.provide("sms")
    wiring.users(chain.context.settings).put(User(id="anna", contacts=Contacts(phone="+15005550100")))
    [outcome] = chain.run(delivery(channel="sms", user_id="anna")).outcomes
    assert (outcome.status, outcome.provider) == ("sent", "test")


def test_of_a_batch_only_test_addresses_are_simulated(chain: Chain) -> None:
    provider = ScriptedProvider()
    chain.provide("email", provider)
    some = [mail(), to("email", "success"), mail(), to("email", "bounce")]
    ran = chain.run(*some)
    assert [one.provider for one in ran.outcomes] == ["scripted", "test", "scripted", "test"]
    assert provider.calls == [some[0].id, some[2].id]


# the whole way


def test_preferences_hold(chain: Chain) -> None:
    wiring.preferences(chain.context.settings).put("anna", Preferences(channels={"*": {"email": False}}))
    assert chain.run(to("email", "success", user_id="anna")).told == [("suppressed", "preference_off")]


def test_the_users_limits_hold(chain: Chain) -> None:
    limited = dataclasses.replace(chain.context.settings, limit_user=parse_rate("2/h:1"))
    chain.using(user_limits=wiring.user_limits(limited))
    first, second = (to("email", "success", user_id="anna") for _ in range(2))
    assert chain.run(first, second).told == [("sent", ""), ("parked", "rate_limited_user")]


def test_a_template_that_fails_fails_it(chain: Chain) -> None:
    assert chain.run(to("email", "success", event_type="broken")).told == [("failed", "template_error")]


# nothing is learned by it


def test_no_breaker_opens_and_nobodys_health_is_told_of_it(chain: Chain, redis_client: Redis) -> None:
    heard = Heard()
    chain.using(health=heard)
    chain.provide("email", ScriptedProvider(breaker="scripted"))
    ran = chain.run(*(to("email", word) for word in ["transient", "unanswered"] * 10), mail())
    assert ran.told == [("parked", "provider_transient"), ("parked", "in_doubt")] * 10 + [("sent", "")]
    assert redis_client.keys("breaker:*") == []
    assert heard.names == ["scripted"]


def test_a_rate_is_not_used_up(chain: Chain) -> None:
    provider = ScriptedProvider(terms=ProviderTerms(rate=parse_rate("1/h:1")))
    chain.provide("email", provider)
    ran = chain.run(*(to("email", "success") for _ in range(5)), mail(), to("email", "success"))
    assert ran.told == [("sent", "")] * 7
    assert len(provider.calls) == 1
    assert chain.run(mail(), to("email", "success")).told == [("open", "provider_full"), ("sent", "")]


# devices


def test_test_tokens_are_devices_and_a_dead_one_is_removed(chain: Chain) -> None:
    chain.provide("push")
    for name, platform in {"success-1": "fcm", "bounce-1": "apns", "transient-1": "webpush"}.items():
        register(chain, name, platform, f"simulator-{name}")
    [outcome] = chain.run(delivery(channel="push", user_id="anna")).outcomes
    assert (outcome.status, outcome.provider) == ("parked", "test")
    assert "1 of 3 devices took it" in outcome.detail
    assert "bounce-1 removed (unregistered, simulated)" in outcome.detail
    [row] = chain.parked()
    assert chain.run(row.delivery.next_pass()).told == [("parked", "provider_transient")]
    assert {one.id for one in chain.context.devices.of_user("anna")} == {"success-1", "transient-1"}


def test_beside_test_tokens_others_go_to_their_provider(chain: Chain) -> None:
    provider = ScriptedProvider(terms=ProviderTerms(platforms=("apns",)))
    chain.provide("push", provider)
    for number, (platform, token) in enumerate([("fcm", "simulator-success"), ("fcm", "a@b"), ("apns", "c@d")]):
        register(chain, f"d{number}", platform, token)
    ran = chain.run(one := delivery(channel="push", user_id="anna"))
    assert ran.verdict.detail.startswith("2 of 3 devices took it: ")
    assert "d1 failed (channel_not_configured, no provider for fcm)" in ran.verdict.detail
    assert provider.calls == [one.id]


# where nothing is configured


@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("channel", ["sms", "push"])
def test_what_is_no_test_address_is_not_configured_whether_or_not_sql_answers(
    chain: Chain, channel: str, priority: Priority
) -> None:
    chain.provide(channel)
    one, two = delivery(channel=channel, priority=priority), delivery(channel=channel, priority=priority)
    assert chain.run(one).told == [("suppressed", "channel_not_configured")]
    chain.using(users=Away(), devices=Away(), sql_watch=NO_WATCH)
    assert chain.run(two).told == [("suppressed", "channel_not_configured")]


def test_one_that_came_with_an_event_of_high_goes_without_sql(chain: Chain) -> None:
    chain.provide("sms")
    chain.using(users=Away(), preferences=Away(), sql_watch=NO_WATCH)
    assert chain.run(to("sms", "success", priority=Priority.HIGH)).told == [("sent", "")]


# switched off


def test_where_they_are_switched_off_they_are_like_any_others(chain: Chain) -> None:
    off = dataclasses.replace(chain.context.settings, test_addresses=False)
    registry = ChannelRegistry(off, wiring.inbox(off), b"secret")
    chain.using(channels=registry)
    assert chain.run(to("email", "success")).told == [("failed", "invalid_address")]
    assert chain.run(to("sms", "success")).told == [("suppressed", "channel_not_configured")]
    registry.close()


# explained


@pytest.mark.parametrize("is_configured", [True, False], ids=["configured", "not configured"])
def test_it_is_explained_as_simulated(chain: Chain, redis_client: Redis, is_configured: bool) -> None:
    chain.provide("sms", *([ScriptedProvider()] if is_configured else []))
    explainer = explainer_of_steps(chain.context, RedisLimitBook(redis_client), user_rates(None, {}))
    given = Options(channels=("sms",), to=To(phone="+15005550100"))
    [found] = explainer.explain(event(options=given)).deliveries
    assert (found.provider.is_configured, found.provider.name) == (True, "test")
    assert (found.verdict.status, found.breaker.state) == ("sent", "closed")
    wrong = Options(channels=("sms",), to=To(phone="+15005550199"))
    [found] = explainer.explain(event(options=wrong)).deliveries
    assert (found.verdict.status, found.verdict.reason) == ("failed", "invalid_address")


def test_a_lane_whose_providers_are_disabled_holds_test_addresses_too_and_that_is_explained(
    chain: Chain, redis_client: Redis
) -> None:
    chain.provide("email", ScriptedProvider(breaker="scripted"))
    wiring.provider_switches(chain.context.settings).disable("scripted", SwitchedOff(at_ms=1))
    explainer = explainer_of_steps(chain.context, RedisLimitBook(redis_client), user_rates(None, {}))
    given = Options(channels=("email",), to=To(email="success@simulator.invalid"))
    [found] = explainer.explain(event(options=given)).deliveries
    assert (found.verdict.status, found.verdict.reason) == ("held", "provider_disabled")
