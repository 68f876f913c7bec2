"""What every Provider must do, whatever is behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.domain.errors import DeliveryError, PermanentError
from app.domain.ports import Provider, Receipt
from app.settings import Settings
from infrastructure.channels.registry import ADAPTERS, ChannelRegistry
from tests.support.messages import message
from tests.support.smtp_receiver import HANG, smtp_receiver
from tests.support.soon import soon
from tests.support.sql_stores import fresh_stores
from tests.support.webhook_receiver import hang, webhook_receiver

TIMEOUT_S = 5.0
#: What answers test addresses is a provider, too; of a channel that has others.
SIMULATOR = "simulator"


@dataclass
class Case:
    """A provider with its outside: an address it takes, rubbish it must refuse, how to make the outside hang or go."""

    provider: Provider
    address: str
    rubbish: str | None = None
    make_hang: Callable[[], None] | None = None
    take_away: Callable[[], None] | None = None


@pytest.fixture(params=[*sorted(ADAPTERS), SIMULATOR])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    """One adapter after the other."""
    with ExitStack() as stack:
        smtp_stack, hook_stack = stack.enter_context(ExitStack()), stack.enter_context(ExitStack())
        smtp = smtp_stack.enter_context(smtp_receiver())
        hook = hook_stack.enter_context(webhook_receiver())
        stores = stack.enter_context(fresh_stores("sqlite", tmp_path))
        settings = dataclasses.replace(
            Settings(),
            smtp_url=smtp.url,
            webhook_allow="127.0.0.1/32",
            chat_schemas="json",
            provider_timeout_s=TIMEOUT_S,
        )
        registry = ChannelRegistry(settings, stores.inbox, b"secret")
        stack.callback(registry.close)
        provider = _provider(registry, request.param)
        chat = f"json://127.0.0.1:{hook.port}/chat"
        if request.param == "chat":
            provider.check_address(
                chat
            )  # loads the library, which no call has to wait for: addresses are checked first
        yield {
            "email": Case(
                provider, "user@example.com", "not an address", lambda: smtp.then("end", HANG), smtp_stack.close
            ),
            "webhook": Case(provider, hook.url, "not a url", lambda: hook.then(hang), hook_stack.close),
            "chat": Case(provider, chat, "not a url", lambda: hook.then(hang), hook_stack.close),
            "in_app": Case(provider, "user-001"),
            "log": Case(provider, "user-001"),
            SIMULATOR: Case(provider, "success@simulator.invalid", "nonsense@simulator.invalid"),
        }[request.param]


def _provider(registry: ChannelRegistry, name: str) -> Provider:
    if name != SIMULATOR:
        [provider] = registry.providers(name)
        return provider
    simulator = registry.simulator("email")
    assert simulator is not None
    return simulator


def test_each_message_has_its_result_in_order(case: Case) -> None:
    results = case.provider.send([message(f"d-{i}", address=case.address) for i in range(3)], TIMEOUT_S)
    assert [type(result) for result in results] == [Receipt] * 3


def test_nothing_to_send_is_no_results(case: Case) -> None:
    assert case.provider.send([], TIMEOUT_S) == []


def test_a_repetition_is_a_receipt_again(case: Case) -> None:
    for _ in range(2):
        assert isinstance(case.provider.send([message(address=case.address)], TIMEOUT_S)[0], Receipt)


def test_one_that_fails_leaves_the_others_alone(case: Case) -> None:
    if case.rubbish is None:
        pytest.skip("every user id is an address here")
    messages = [
        message("a", address=case.address),
        message("b", address=case.rubbish),
        message("c", address=case.address),
    ]
    first, second, third = case.provider.send(messages, TIMEOUT_S)
    assert isinstance(first, Receipt)
    assert isinstance(second, PermanentError)
    assert isinstance(third, Receipt)


def test_an_address_in_normal_form_stays_as_it_is(case: Case) -> None:
    normal = case.provider.check_address(case.address)
    assert case.provider.check_address(normal) == normal


def test_rubbish_is_an_invalid_address(case: Case) -> None:
    if case.rubbish is None:
        pytest.skip("every user id is an address here")
    with pytest.raises(PermanentError, match="invalid_address"):
        case.provider.check_address(case.rubbish)


def test_the_breaker_key_is_stable_and_says_something(case: Case) -> None:
    assert case.provider.breaker_key(case.address)
    assert case.provider.breaker_key(case.address) == case.provider.breaker_key(case.address)


def test_an_outside_that_is_gone_is_an_error_as_result(case: Case) -> None:
    if case.take_away is None:
        pytest.skip("there is no outside")
    case.provider.send([message("before", address=case.address)], TIMEOUT_S)
    case.take_away()
    results = case.provider.send([message(f"d-{i}", address=case.address) for i in range(2)], TIMEOUT_S)
    assert all(isinstance(result, DeliveryError) and result.reason for result in results)


def test_an_outside_that_hangs_holds_the_call_no_longer_than_its_time(case: Case) -> None:
    if case.make_hang is None:
        pytest.skip("there is no outside")
    case.make_hang()
    with soon("the call"):
        results = case.provider.send([message(f"d-{i}", address=case.address) for i in range(3)], 0.3)
    assert all(isinstance(result, DeliveryError) for result in results)


def test_after_close_it_can_be_used_again(case: Case) -> None:
    case.provider.send([message("before", address=case.address)], TIMEOUT_S)
    case.provider.close()
    assert isinstance(case.provider.send([message("after", address=case.address)], TIMEOUT_S)[0], Receipt)


def test_it_says_its_name_and_time_out(case: Case) -> None:
    assert case.provider.name
    assert case.provider.timeout_s == TIMEOUT_S
