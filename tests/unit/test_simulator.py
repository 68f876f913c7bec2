"""Test addresses: which they are, what they stand for, and that no other address is one."""

from __future__ import annotations

import pytest

from app.domain.channel import CHANNELS
from app.domain.device_rules import device_violations
from app.domain.errors import DeadAddressError, DeliveryError, InDoubtError, PermanentError, TransientError
from app.domain.ports import Receipt
from app.domain.simulator import Behaviour, behaviour_of, has_test_addresses, is_test_address
from app.domain.user_rules import check_user
from app.domain.users import Contacts, User
from infrastructure.channels import simulator
from infrastructure.channels.simulator import SimulatedProvider
from tests.support.messages import message

SPECS = {spec.name: spec for spec in CHANNELS}
FORMS = {
    "email": "{}@simulator.invalid",
    "push": "simulator-{}",
    "webhook": "https://{}.simulator.invalid/hook",
    "chat": "simulator://{}",
}
NUMBERS = {
    "+15005550100": "success",
    "+15005550101": "bounce",
    "+15005550102": "transient",
    "+15005550103": "slow",
    "+15005550104": "unanswered",
}
PLAIN = [(channel, form.format(word), word) for channel, form in FORMS.items() for word in Behaviour]
VARIANTS = [
    ("email", "success+anna@simulator.invalid", "success"),
    ("email", "Bounce@Simulator.INVALID", "bounce"),
    ("push", "simulator-bounce-of-anna-7", "bounce"),
    ("sms", "+1 (500) 555-0102", "transient"),
    ("sms", "+1.500.555.0103", "slow"),
    ("webhook", "http://SUCCESS.simulator.invalid:8080/a?b=c", "success"),
    ("webhook", "https://slow.simulator.invalid.", "slow"),
    ("chat", "Simulator://Success/anna", "success"),
]
UNKNOWN = [
    ("email", "anna@simulator.invalid"),
    ("email", "@simulator.invalid"),
    ("push", "simulator-"),
    ("push", "simulator-successful"),
    ("sms", "+15005550105"),
    ("sms", "+15005550199"),
    ("webhook", "https://simulator.invalid/"),
    ("webhook", "https://a.success.simulator.invalid/"),
    ("chat", "simulator://"),
]
OTHERS = [
    ("email", "success@example.com"),
    ("email", "success@simulator.invalid.example.com"),
    ("email", "success@notsimulator.invalid"),
    ("email", "simulator.invalid"),
    ("push", "success"),
    ("push", "APA91b-simulator-success"),
    ("sms", "+15005550006"),
    ("sms", "+15005550200"),
    ("sms", "5005550100"),
    ("sms", "+150055501000"),
    ("webhook", "https://example.com/simulator.invalid"),
    ("webhook", "https://success.simulator.invalid.example.com/"),
    ("webhook", "https://notsimulator.invalid/"),
    ("webhook", "ftp://success.simulator.invalid/"),
    ("webhook", "https://[success.simulator.invalid"),
    ("chat", "slack://simulator/success"),
    ("chat", "simulator"),
    ("in_app", "success@simulator.invalid"),
    ("log", "simulator-success"),
]


@pytest.mark.parametrize(
    ("channel", "address", "word"), [*PLAIN, *VARIANTS, *(("sms", number, word) for number, word in NUMBERS.items())]
)
def test_a_test_address_stands_for_something(channel: str, address: str, word: str) -> None:
    assert is_test_address(channel, address)
    assert behaviour_of(channel, address) == word


@pytest.mark.parametrize(("channel", "address"), UNKNOWN)
def test_one_that_stands_for_nothing_is_no_providers_either_and_is_told_what_there_is(
    channel: str, address: str
) -> None:
    assert is_test_address(channel, address)
    assert behaviour_of(channel, address) is None
    with pytest.raises(PermanentError, match=r"invalid_address: .*success, bounce, transient, slow, unanswered"):
        SimulatedProvider(SPECS[channel], 5.0).check_address(address)


@pytest.mark.parametrize(("channel", "address"), OTHERS)
def test_all_others_are_none(channel: str, address: str) -> None:
    assert not is_test_address(channel, address)
    assert behaviour_of(channel, address) is None


def test_every_channel_that_has_addresses_has_test_addresses() -> None:
    assert {spec.name for spec in CHANNELS if has_test_addresses(spec.name)} == {
        spec.name for spec in CHANNELS if spec.contact is not None
    }


def test_each_may_stand_among_a_users_contacts() -> None:
    contacts = Contacts(
        email="success@simulator.invalid",
        phone="+15005550100",
        webhook="https://success.simulator.invalid/hook",
        push="simulator-success",
        chat="simulator://success",
    )
    assert check_user(User(id="anna", contacts=contacts)) == []


@pytest.mark.parametrize("platform", ["fcm", "apns", "webpush"])
def test_a_device_of_any_platform_may_have_a_test_token(platform: str) -> None:
    assert list(device_violations(platform, "simulator-success-anna", "", None)) == []


@pytest.mark.parametrize(
    ("channel", "word", "kind", "reason"),
    [
        ("email", "success", Receipt, ""),
        ("email", "slow", Receipt, ""),
        ("email", "bounce", PermanentError, "provider_rejected"),
        ("webhook", "bounce", PermanentError, "provider_rejected"),
        ("push", "bounce", DeadAddressError, "unregistered"),
        ("email", "transient", TransientError, "provider_transient"),
        ("email", "unanswered", InDoubtError, "in_doubt"),
    ],
)
def test_what_each_is_answered_with(
    channel: str, word: str, kind: type, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "SLOW_S", 0.01)
    provider = SimulatedProvider(SPECS[channel], 5.0)
    [answer] = provider.send([message("d-1", address=FORMS[channel].format(word))], 5.0)
    assert type(answer) is kind
    if isinstance(answer, DeliveryError):
        assert (answer.reason, answer.detail) == (reason, "simulated")
    else:
        assert answer == Receipt(provider_id="test-d-1")


def test_a_slow_one_takes_its_time_and_never_all_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(simulator.time, "sleep", slept.append)
    provider = SimulatedProvider(SPECS["email"], 5.0)
    for timeout_s in (60.0, 1.0):
        provider.send([message(address="slow@simulator.invalid")], timeout_s)
    assert slept[0] == simulator.SLOW_S
    assert 0 < slept[1] <= 0.5
