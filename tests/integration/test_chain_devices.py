"""One delivery to all of a user's devices: each is called once, whatever dies, and the outcome says what each said."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from msgspec import structs

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.clock import now_ms
from app.domain.delivery import Delivery
from app.domain.device import Device
from app.domain.errors import (
    DeadAddressError,
    InDoubtError,
    PermanentError,
    StoreUnavailableError,
    ThrottledError,
    TransientError,
)
from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.limit_rules import user_rates
from app.domain.outcome import Outcome, Reason, Status
from app.domain.ports import (
    BreakerState,
    Mark,
    Message,
    ProviderTerms,
    Receipt,
    SwitchedOff,
    TargetKey,
    TargetMarks,
)
from app.domain.target import TargetResult
from app.domain.users import Contacts, Preferences, QuietHours, User
from infrastructure import wiring
from infrastructure.redis.client import make_client
from infrastructure.redis.limit_book import RedisLimitBook
from tasks import check_preferences, deliver, limit_rate, pipeline, record, validate
from tasks.device_calls import DeviceChoice
from tests.support.chain import Answer, Chain, Ran
from tests.support.deliveries import delivery, event
from tests.support.explaining import explainer_of_steps

FCM_ONLY = ProviderTerms(platforms=("fcm",))
APPLE_ONLY = ProviderTerms(platforms=("apns",))
WEB_ONLY = ProviderTerms(platforms=("webpush",), breaker_per_target=True)
GONE = DeadAddressError(Reason.UNREGISTERED, "HTTP 404, UNREGISTERED")
BUSY = TransientError(Reason.PROVIDER_TRANSIENT, "HTTP 503")
SHORT_S = 0.6
#: Ahead, so that Redis's clock, which claims go by, is before it.
NOON_MS = (now_ms() // 86_400_000 + 1) * 86_400_000 + 12 * 3_600_000


class Phones:
    """A provider that answers by token, and counts its calls."""

    def __init__(self, name: str = "phones", terms: ProviderTerms = FCM_ONLY, timeout_s: float = 0.2) -> None:
        self.name, self.terms, self.timeout_s = name, terms, timeout_s
        self.answers: dict[str, Answer] = {}
        self.calls: list[str] = []
        self.during: Callable[[Message], None] = lambda _message: None
        self._lock = threading.Lock()

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Answer]:
        [message] = messages
        with self._lock:
            self.calls.append(message.address)
        self.during(message)
        return [self.answers.get(message.address, Receipt(provider_id=f"p-{message.address[-2:]}"))]

    def check_address(self, address: str) -> str:
        if " " in address:
            raise PermanentError(Reason.INVALID_ADDRESS, "a blank in it")
        return address

    def breaker_key(self, address: str) -> str:
        return self.name

    def close(self) -> None:
        pass


class Hosts(Phones):
    """Each token is a host of its own."""

    def breaker_key(self, address: str) -> str:
        return address or self.name


class Breaking:
    """Breakers and switches as told, which remember what they heard."""

    def __init__(self, open_until_ms: Mapping[str, int] = MappingProxyType({}), disabled: Collection[str] = ()) -> None:
        self._open_until_ms, self._disabled = open_until_ms, disabled
        self.reports: list[tuple[str, bool]] = []

    def state(self, key: str) -> BreakerState:
        return BreakerState(open_until_ms=self._open_until_ms.get(key, 0))

    def report(self, key: str, *, is_success: bool, weight: int = 1) -> None:
        self.reports.append((key, is_success))

    def off(self, provider: str) -> SwitchedOff | None:
        return SwitchedOff(at_ms=1) if provider in self._disabled else None


class Health:
    """All do well; it remembers what it heard."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, bool]] = []

    def shares(self, names: Sequence[str]) -> Mapping[str, float]:
        return dict.fromkeys(names, 1.0)

    def report(self, name: str, *, is_bad: bool) -> None:
        self.reports.append((name, is_bad))


class DiedError(BaseException):
    """This child is no more: nothing that it would have done after this is done."""


class DyingMarks:
    """The marks of a child that dies at one of its notes, before it or right behind it."""

    def __init__(self, real: TargetMarks, place: int, *, is_behind: bool) -> None:
        self._real, self._left, self._is_behind = real, place, is_behind

    def find(self, delivery_ids: Sequence[str]) -> list[list[Mark]]:
        return self._real.find(delivery_ids)

    def note(self, **given: Any) -> list[bool]:
        if self._left == 0 and not self._is_behind:
            raise DiedError
        found = self._real.note(**given)
        if self._left == 0:
            raise DiedError
        self._left -= 1
        return found

    def take_back(self, keys: Sequence[TargetKey], *, owner: str) -> None:
        self._real.take_back(keys, owner=owner)


class AwayDevices:
    """Devices whose database is away for some of the questions."""

    def __init__(self, real: Any, *names: str) -> None:
        self._real, self._names = real, names

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            raise StoreUnavailableError("away")
        return getattr(self._real, name)


@pytest.fixture
def phones(chain: Chain) -> Phones:
    made = Phones()
    chain.provide("push", made)
    return made


def register(chain: Chain, *names: str, user_id: str = "anna", **given: Any) -> None:
    """Devices whose ids and tokens are their names."""
    for number, name in enumerate(names):
        values: dict[str, Any] = {"platform": "fcm", "token": f"t-{name}", "registered_at_ms": number + 1}
        chain.context.devices.register(Device(id=name, user_id=user_id, **(values | given)), 99)


def push(**given: Any) -> Delivery:
    return delivery(channel="push", **({"user_id": "anna"} | given))


def left(chain: Chain, user_id: str = "anna") -> list[str]:
    return sorted(one.id for one in chain.context.devices.of_user(user_id))


def only(ran: Ran) -> Outcome:
    [outcome] = ran.outcomes
    return outcome


def test_of_five_devices_two_are_dead_three_take_it_and_the_outcome_says_so(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2", "d3", "d4", "d5")
    phones.answers = {"t-d2": GONE, "t-d4": GONE}
    ran = chain.run(one := push())
    outcome = only(ran)
    assert (outcome.status, outcome.reason, outcome.attempt, outcome.provider) == ("sent", "", 5, "phones")
    dead = "removed (unregistered, HTTP 404, UNREGISTERED)"
    assert outcome.detail == f"3 of 5 devices took it: d1 sent; d2 {dead}; d3 sent; d4 {dead}; d5 sent"
    assert left(chain) == ["d1", "d3", "d5"]
    assert Counter(phones.calls) == Counter(f"t-d{number}" for number in range(1, 6))
    assert chain.claim(one.id)[1:] == ("d", "sent")
    assert (ran.open, ran.finished.calls) == ({}, 5)


def test_no_token_is_in_what_is_recorded(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2")
    phones.answers = {"t-d1": BUSY}
    outcome = only(chain.run(push()))
    assert outcome.status is Status.PARKED
    assert "t-d" not in str(outcome)
    assert "t-d" not in str([row.delivery.targets for row in chain.parked()])


def test_devices_of_many_users_are_one_query_and_each_gets_its_own(chain: Chain, phones: Phones) -> None:
    for user_id in ("anna", "ben", "carl"):
        register(chain, f"{user_id}-1", f"{user_id}-2", user_id=user_id)
    asked: list[Sequence[str]] = []
    real = chain.context.devices

    class Counting:
        def of_users(self, user_ids: Sequence[str]) -> Any:
            asked.append(user_ids)
            return real.of_users(user_ids)

        def remove_dead(self, dead: Any) -> None:
            raise AssertionError("none is dead")

    chain.using(devices=Counting())
    ran = chain.run(*(push(user_id=user_id) for user_id in ("anna", "ben", "carl", "anna", "dora")))
    assert ran.told == [("sent", "")] * 4 + [("suppressed", "no_address")]
    assert Counter(phones.calls)["t-anna-1"] == 2
    assert Counter(phones.calls)["t-ben-2"] == 1
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answers", "told", "detail"),
    [
        ({"t-d1": GONE, "t-d2": GONE}, ("failed", "unregistered"), "0 of 2"),
        ({"t-d1": GONE, "t-d2": PermanentError(Reason.INVALID_ADDRESS)}, ("failed", "provider_rejected"), "0 of 2"),
        ({"t-d1": InDoubtError(Reason.IN_DOUBT, "no answer")}, ("sent", ""), "d1 unknown (in_doubt, no answer)"),
        (
            {"t-d1": InDoubtError(Reason.IN_DOUBT, "no answer"), "t-d2": GONE},
            ("unknown", "in_doubt"),
            "d1 unknown (in_doubt, no answer)",
        ),
    ],
    ids=["all dead", "all refused", "one in doubt, one sent", "one in doubt, one dead"],
)
def test_what_the_devices_answers_come_to(
    chain: Chain, phones: Phones, answers: dict[str, Answer], told: tuple[str, str], detail: str
) -> None:
    register(chain, "d1", "d2")
    phones.answers = answers
    ran = chain.run(push(event_type="unsure"))
    assert ran.told == [told]
    assert detail in only(ran).detail


def test_a_parked_row_carries_the_devices_that_are_open_and_only_they_are_called_again(
    chain: Chain, phones: Phones
) -> None:
    register(chain, "d1", "d2", "d3")
    phones.answers = {"t-d2": BUSY, "t-d3": GONE}
    first = chain.run(push())
    assert first.told == [("parked", "provider_transient")]
    assert "d1 sent" in only(first).detail
    assert "d2 open (provider_transient, HTTP 503)" in only(first).detail
    assert left(chain) == ["d1", "d2"]
    [row] = chain.parked()
    assert {one.id: str(one.status) for one in row.delivery.targets} == {
        "d1": "sent",
        "d2": "parked",
        "d3": "failed",
    }
    assert (row.delivery.retries, row.delivery.attempt) == (1, 3)

    register(chain, "new")
    phones.answers, phones.calls = {}, []
    second = chain.run(row.delivery.next_pass())
    assert phones.calls == ["t-d2"], "neither those that answered nor one that is new"
    assert second.told == [("sent", "")]
    assert second.outcomes[-1].detail.startswith("2 of 3 devices took it: d1 sent; d2 sent; d3 removed")
    assert second.outcomes[-1].attempt == 4


def test_all_wait_as_long_as_the_one_that_has_to_wait_longest(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2")
    phones.answers = {"t-d1": BUSY, "t-d2": ThrottledError(Reason.PROVIDER_THROTTLED, retry_after_s=900)}
    ran = chain.run(push())
    assert ran.told == [("parked", "provider_throttled")]
    assert ran.verdict.until_at_ms > now_ms() + 800_000


def test_when_the_retries_are_used_up_what_was_sent_is_sent(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2")
    phones.answers = {"t-d2": BUSY}
    ran = chain.run(push(retries=99))
    assert ran.told == [("sent", "")]
    assert "d2 failed (retries_exhausted, HTTP 503)" in only(ran).detail


def test_a_device_that_is_the_users_no_more_is_called_no_more(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2")
    phones.answers = {"t-d1": BUSY, "t-d2": BUSY}
    chain.run(push())
    [row] = chain.parked()
    register(chain, "d1", user_id="ben")
    phones.answers, phones.calls = {}, []
    ran = chain.run(row.delivery.next_pass())
    assert phones.calls == ["t-d2"]
    assert "d1 removed (unregistered, it is the user's no more)" in ran.outcomes[-1].detail
    assert left(chain, "ben") == ["d1"]


def test_one_that_registers_again_meanwhile_is_not_removed(chain: Chain, phones: Phones) -> None:
    register(chain, "d1")
    phones.answers = {"t-d1": GONE}
    phones.during = lambda _message: register(chain, "d1", registered_at_ms=now_ms() + 60_000)
    assert chain.run(push()).told == [("failed", "unregistered")]
    assert left(chain) == ["d1"]


# where it goes


def test_an_address_of_the_event_stands_before_devices_and_a_contact_behind_them(chain: Chain, phones: Phones) -> None:
    wiring.users(chain.context.settings).put(User(id="ben", contacts=Contacts(push="contact")))
    register(chain, "d1")
    given = Options(to=To(push="given"))
    ran = chain.run(push(options=given), push(user_id="ben"), push(user_id="nobody"))
    assert ran.told == [("sent", ""), ("sent", ""), ("suppressed", "no_address")]
    assert sorted(phones.calls) == ["contact", "given"]
    assert ran.outcomes[0].provider_id == "p-en"


def test_a_device_without_a_provider_and_a_broken_token_leave_the_others_alone(chain: Chain, phones: Phones) -> None:
    register(chain, "apple", platform="apns")
    register(chain, "broken", token="t broken")
    register(chain, "d1")
    ran = chain.run(push())
    assert phones.calls == ["t-d1"]
    assert only(ran).detail == (
        "1 of 3 devices took it: apple failed (channel_not_configured, no provider for apns); "
        "broken failed (invalid_address, a blank in it); d1 sent"
    )


def test_only_a_provider_of_its_platform_is_called_also_as_the_next_one(chain: Chain, phones: Phones) -> None:
    apple, second = Phones("apple", ProviderTerms(platforms=("apns",))), Phones("second")
    chain.provide("push", phones, apple, second)
    phones.answers = dict.fromkeys(["t-d1"], BUSY)
    second.answers = dict.fromkeys(["t-d1"], BUSY)
    register(chain, "d1")
    register(chain, "a1", platform="apns")
    assert chain.run(push()).told == [("parked", "provider_transient")]
    assert (phones.calls, second.calls, apple.calls) == (["t-d1"], ["t-d1"], ["t-a1"])


def test_another_provider_is_asked_for_the_device_that_the_first_did_not_take(chain: Chain, phones: Phones) -> None:
    second = Phones("second")
    chain.provide("push", phones, second)
    phones.answers = {"t-d1": BUSY}
    second.answers = {"t-d1": BUSY, "t-d2": BUSY, "t-d3": BUSY}
    register(chain, "d1", "d2", "d3")
    ran = chain.run(push())
    detail = only(ran).detail
    assert "d2 sent" in detail
    assert "d3 sent" in detail
    assert Counter([*phones.calls, *second.calls])["t-d1"] == 2
    assert "after " in detail


@pytest.mark.parametrize(
    ("given", "called"),
    [("0f" * 32, "apple"), ('{"endpoint":"https://push.example/x"}', "web"), ("eXampLe:APA91b", "phones")],
    ids=["apns", "webpush", "fcm"],
)
def test_an_address_that_is_no_devices_goes_to_the_platform_that_it_looks_like(
    chain: Chain, phones: Phones, given: str, called: str
) -> None:
    others = [Phones("apple", APPLE_ONLY), Phones("web", WEB_ONLY)]
    chain.provide("push", phones, *others)
    assert chain.run(push(options=Options(to=To(push=given)))).told == [("sent", "")]
    assert [one.name for one in (phones, *others) if one.calls] == [called]


# what one push service's trouble does to the others


@pytest.mark.parametrize("trouble", ["open", "off"])
def test_devices_of_a_platform_that_is_left_alone_are_parked_and_the_others_get_theirs(
    chain: Chain, phones: Phones, trouble: str
) -> None:
    apple = Phones("apple", APPLE_ONLY)
    chain.provide("push", phones, apple)
    register(chain, "d1")
    register(chain, "a1", platform="apns")
    before_ms = now_ms()
    left_alone = Breaking({"phones": before_ms + 9000}) if trouble == "open" else Breaking(disabled={"phones"})
    chain.using(breakers=left_alone)
    ran = chain.run(push())
    assert (ran.told, ran.open) == ([("parked", "breaker_open")], {})
    assert (phones.calls, apple.calls) == ([], ["t-a1"])
    [row] = chain.parked()
    assert row.delivery.retries == 0
    assert row.due_at_ms >= before_ms + 9000

    chain.using(breakers=Breaking())
    ran = chain.run(row.delivery.next_pass())
    assert ran.told == [("sent", "")]
    assert (phones.calls, apple.calls) == (["t-d1"], ["t-a1"])


@pytest.mark.parametrize("breaking", ["phones", "phones and second"])
def test_where_the_lane_is_paused_too_nothing_is_parked(chain: Chain, phones: Phones, breaking: str) -> None:
    if breaking != "phones":
        chain.provide("push", phones, Phones("second"))
    register(chain, "d1")
    chain.using(breakers=Breaking(dict.fromkeys(breaking.split(" and "), now_ms() + 9000)))
    assert chain.run(push()).told == [("open", "breaker_open")]
    assert chain.parked() == []


def test_a_push_services_host_that_is_left_alone_parks_its_own_devices_only(chain: Chain) -> None:
    web = Hosts("web", WEB_ONLY)
    chain.provide("push", web)
    register(chain, "w1", "w2", platform="webpush")
    chain.using(breakers=Breaking({"t-w1": now_ms() + 9000}))
    ran = chain.run(push())
    assert ran.told == [("parked", "breaker_open")]
    assert web.calls == ["t-w2"]
    assert "w1 open (breaker_open); w2 sent" in only(ran).detail


def test_one_in_doubt_is_so_after_it_was_parked_for_its_breaker(chain: Chain, phones: Phones) -> None:
    chain.provide("push", phones, Phones("apple", APPLE_ONLY))
    register(chain, "d1")
    chain.using(breakers=Breaking({"phones": now_ms() + 9000}))
    open_one = TargetResult(id="d1", status=Status.PARKED, provider="phones", is_in_doubt=True)
    assert chain.run(push(pass_no=1, targets=(open_one,))).told == [("parked", "breaker_open")]
    [row] = chain.parked()
    assert [target.is_in_doubt for target in row.delivery.targets] == [True]

    soon = push(pass_no=1, targets=(open_one,), expires_at_ms=now_ms() + 5000)
    assert chain.run(soon).told == [("unknown", "in_doubt")]


@pytest.mark.parametrize(
    ("answer", "is_bad"),
    [
        (TransientError(Reason.PROVIDER_TRANSIENT, "HTTP 401"), True),
        (TransientError(Reason.PROVIDER_TRANSIENT, "HTTP 401", is_about_address=True), False),
        (GONE, False),
    ],
    ids=["the provider", "the address", "dead"],
)
def test_what_is_about_one_device_counts_with_neither_breaker_nor_health(
    chain: Chain, phones: Phones, answer: Exception, is_bad: bool
) -> None:
    breakers, health = Breaking(), Health()
    chain.using(breakers=breakers, health=health)
    register(chain, "d1")
    phones.answers = {"t-d1": answer}
    chain.run(push())
    assert breakers.reports == [("phones", not is_bad)]
    assert health.reports == [("phones", is_bad)]


def test_one_device_that_is_throttled_says_nothing_of_the_others(chain: Chain, phones: Phones) -> None:
    health = Health()
    chain.using(health=health)
    register(chain, "d1", "d2")
    wait = ThrottledError(Reason.PROVIDER_THROTTLED, "HTTP 429", retry_after_s=60, is_about_address=True)
    phones.answers = {"t-d1": wait}
    assert chain.run(push()).told == [("parked", "provider_throttled")]
    assert sorted(health.reports) == [("phones", False)] * 2


# what ends it on the way


def test_without_a_provider_it_is_not_configured(chain: Chain) -> None:
    register(chain, "d1")
    assert chain.run(push()).told == [("suppressed", "channel_not_configured")]


def test_what_waits_before_any_call_begins_anew_with_the_devices_of_then(chain: Chain, phones: Phones) -> None:
    register(chain, "d1")
    quiet = QuietHours(start="00:00", end="23:59")
    wiring.preferences(chain.context.settings).put("anna", Preferences(quiet_hours=quiet))
    chain.using(now_ms=lambda: NOON_MS)
    one = push(accepted_at_ms=NOON_MS, expires_at_ms=NOON_MS + 24 * 3_600_000)
    assert chain.run(one).told == [("parked", "quiet_hours")]
    [row] = chain.parked()
    assert row.delivery.targets == ()
    register(chain, "d2")
    wiring.preferences(chain.context.settings).put("anna", Preferences())
    assert chain.run(row.delivery.next_pass()).told == [("sent", "")]
    assert sorted(phones.calls) == ["t-d1", "t-d2"]


def test_what_expires_when_some_have_it_is_sent(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2")
    phones.answers = {"t-d2": BUSY}
    chain.run(push())
    [row] = chain.parked()
    late = row.delivery.next_pass()
    chain.using(now_ms=lambda: late.expires_at_ms + 1)
    ran = chain.run(late)
    assert ran.told == [("sent", "ttl")]
    assert ran.outcomes[-1].detail == "expired: ttl; 1 of 2 devices took it: d1 sent; d2 was not called"


def test_a_parked_one_that_is_cancelled_is_sent_where_a_device_has_it(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2")
    phones.answers = {"t-d2": BUSY}
    chain.run(push())
    [row] = chain.parked()
    assert row.cancelled(1).status is Status.SENT
    assert row.cancelled(1).reason == "cancelled_by_client"


def test_one_that_is_cancelled_between_devices_calls_no_more(chain: Chain, phones: Phones) -> None:
    names = [f"d{number:03}" for number in range(200)]
    register(chain, *names)
    one = push()

    def cancel(message: Message) -> None:
        if len(phones.calls) == 10:
            wiring.cancels(chain.context.settings).cancel(one.notification_id, [one.id], life_s=60)
        time.sleep(0.005)

    phones.during = cancel
    ran = chain.run(one)
    assert ran.told == [("sent", "")]
    assert len(phones.calls) < 200
    assert "cancelled (cancelled_by_client)" in only(ran).detail


def test_where_sql_is_away_devices_are_waited_for(chain: Chain, phones: Phones) -> None:
    register(chain, "d1")
    chain.using(devices=AwayDevices(chain.context.devices, "of_users"))
    high = {"priority": Priority.HIGH}
    assert chain.run(push(**high)).told == [("open", "sql_down")]
    assert chain.run(push(**high, options=Options(to=To(push="given")))).told == [("sent", "")]
    assert phones.calls == ["given"]


@pytest.mark.parametrize(("priority", "told"), [(Priority.HIGH, "sent"), (Priority.LOW, "open")])
def test_where_the_dead_cannot_be_removed_low_is_sent_again_and_calls_nobody(
    chain: Chain, phones: Phones, priority: Priority, told: str
) -> None:
    register(chain, "d1", "d2")
    phones.answers = {"t-d1": GONE}
    real = chain.context.devices
    chain.using(devices=AwayDevices(real, "remove_dead"))
    one = push(priority=priority)
    assert chain.run(one).told[0][0] == told
    assert left(chain) == ["d1", "d2"]
    chain.using(devices=real)
    again = chain.run(one)
    assert again.told == [("accepted", "")] if priority is Priority.HIGH else [("sent", "")]
    assert left(chain) == (["d1", "d2"] if priority is Priority.HIGH else ["d2"])
    assert len(phones.calls) == 2


def test_explain_asks_the_provider_of_the_devices_platform(chain: Chain, phones: Phones) -> None:
    apple = Phones("apple", APPLE_ONLY)
    chain.provide("push", phones, apple)
    register(chain, "a1", platform="apns", token="t with blanks that only FCM minds")
    apple.check_address = lambda address: address  # type: ignore[method-assign]
    client = make_client(chain.context.settings.redis_url, 1.0)
    explainer = explainer_of_steps(chain.context, RedisLimitBook(client), user_rates(None, {}))
    [found] = explainer.explain(event(user_id="anna", options=Options(channels=("push",)))).deliveries
    client.close()
    assert (found.verdict.status, found.address.problem) == ("sent", "")


def test_explain_foresees_it_and_tells_no_token(chain: Chain, phones: Phones) -> None:
    register(chain, "a1", platform="apns")
    register(chain, "d1")
    client = make_client(chain.context.settings.redis_url, 1.0)
    explainer = explainer_of_steps(chain.context, RedisLimitBook(client), user_rates(None, {}))
    found = [
        explainer.explain(event(user_id=user_id, options=Options(channels=("push",)))).deliveries[0]
        for user_id in ("anna", "nobody")
    ]
    client.close()
    assert [(one.verdict.status, one.address.is_found) for one in found] == [("sent", True), ("suppressed", False)]
    assert "t-d1" not in str(found)
    assert phones.calls == []


# time runs out, or a worker dies


def test_what_the_time_does_not_suffice_for_is_called_by_the_next_copy(
    chain: Chain, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_a_time(chain, monkeypatch)
    names = [f"d{number}" for number in range(6)]
    register(chain, *names)
    phones.during = lambda _message: time.sleep(0.15)
    one = push(event_type="unsure")
    assert chain.run(one, life_s=SHORT_S).told == [("open", "no_time")]
    assert 0 < len(phones.calls) < len(names)
    assert chain.run(one).told == [("sent", "")]
    assert Counter(phones.calls) == Counter(f"t-{name}" for name in names)


def die_at(chain: Chain, *deliveries: Delivery, place: int, is_behind: bool) -> bool:
    """Run a copy in a child that dies at a note of its marks; False where it had no more than those."""
    real = chain.context.marks
    chain.using(marks=DyingMarks(real, place, is_behind=is_behind))
    try:
        chain.run(*deliveries, life_s=SHORT_S)
    except DiedError:
        time.sleep(SHORT_S)
        return True
    else:
        return False
    finally:
        chain.using(marks=real)


@pytest.mark.parametrize("is_behind", [False, True], ids=["before the note", "behind it"])
@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("event_type", ["unsure", "sure"])
def test_a_crash_between_devices_repeats_none_that_was_answered(
    chain: Chain, phones: Phones, event_type: str, place: int, is_behind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["d1", "d2", "d3", "d4", "d5"]
    one_at_a_time(chain, monkeypatch)
    register(chain, *names)
    phones.answers = {"t-d2": GONE}
    one = push(event_type=event_type, priority=Priority.HIGH if event_type == "sure" else Priority.MEDIUM)
    assert die_at(chain, one, place=place, is_behind=is_behind)
    [marks] = chain.context.marks.find([one.id])
    answered = {mark.target_id for mark in marks if mark.result}
    in_doubt = {mark.target_id for mark in marks if not mark.result}
    called_before = set(phones.calls)
    ran = chain.run(one)
    assert ran.told == [("sent", "")]
    calls = Counter(token.removeprefix("t-") for token in phones.calls)
    assert {name: calls[name] for name in answered} == dict.fromkeys(answered, 1)
    repeated = {name for name, count in calls.items() if count > 1}
    if event_type == "unsure":
        assert repeated == set()
        assert all(f"{name} unknown (in_doubt, a worker died during the call)" in only(ran).detail for name in in_doubt)
        assert set(calls) | in_doubt == set(names)
    else:
        assert repeated <= in_doubt
        assert set(calls) == set(names)
    assert called_before <= {f"t-{name}" for name in answered | in_doubt}
    assert left(chain) == ["d1", "d3", "d4", "d5"] or "d2" in in_doubt


@pytest.mark.parametrize("seed", range(6))
def test_the_same_with_many_calls_at_a_time_and_several_deaths(chain: Chain, phones: Phones, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret, only the same again
    users = {f"user-{number}": chance.randint(1, 8) for number in range(12)}
    for user_id, devices in users.items():
        register(chain, *(f"{user_id}.{number}" for number in range(devices)), user_id=user_id)
    phones.during = lambda _message: time.sleep(chance.random() * 0.02)
    batch = [push(user_id=user_id, event_type="unsure") for user_id in users]
    for _ in range(3):
        die_at(chain, *batch, place=chance.randint(0, 12), is_behind=chance.random() < 0.5)
    ran = chain.run(*batch)
    assert set(ran.open.values()) == set()
    calls = Counter(phones.calls)
    assert max(calls.values()) == 1, "where nobody knows, nobody is called again"
    outcomes = {one.delivery_id: one for one in chain.outcomes([one.id for one in batch])}
    for one in batch:
        told = outcomes[one.id].detail
        number = users[one.event.user_id]
        assert told.partition(": ")[0].endswith(f"of {number} devices took it")
        assert sum(f"{one.event.user_id}.{place} sent" in told for place in range(number)) <= sum(
            calls[f"t-{one.event.user_id}.{place}"] for place in range(number)
        )


def one_at_a_time(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there is a note between any two calls."""
    spec = structs.replace(CHANNEL_BY_NAME["push"], concurrency=1)
    monkeypatch.setattr(chain.context.channels, "spec", lambda _channel: spec)


def test_a_copy_that_stood_still_calls_nobody_that_another_has(chain: Chain, phones: Phones) -> None:
    register(chain, "d1", "d2")
    one = push()
    batch = chain.batch(one)
    for step in (validate.validate, check_preferences.check_preferences, limit_rate.limit_rate):
        batch = pipeline._run(step, batch)
    chain.context.claims.release([one.id], owner=batch.owner)
    assert chain.run(one).told == [("sent", "")]
    pipeline._run(deliver.deliver, batch)
    record.record(batch, chain.context)
    assert Counter(phones.calls) == Counter(["t-d1", "t-d2"])


def test_what_is_not_called_after_all_leaves_no_mark(
    chain: Chain, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claims took long: the next copy is not to find the device in doubt."""
    register(chain, "d1")
    one = push()
    answers = iter([True])  # time when it is admitted, none when it is marked
    monkeypatch.setattr(DeviceChoice, "has_time", lambda *_: next(answers, False))
    assert chain.run(one).told == [("open", "no_time")]
    assert chain.context.marks.find([one.id]) == [[]]


def test_the_paths_of_other_channels_ask_no_marks(chain: Chain) -> None:
    class Never:
        pass

    chain.using(marks=Never(), devices=Never())
    assert chain.run(delivery()).told == [("sent", "")]
