"""Providers that an operator has disabled: others take their deliveries, or nobody does and nothing is lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from app.domain.delivery import Delivery
from app.domain.errors import TransientError
from app.domain.event import Options, To
from app.domain.outcome import Reason
from app.domain.ports import ProviderTerms, SwitchedOff
from infrastructure import wiring
from infrastructure.redis import breakers as breakers_module
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery

ADDRESS = "anna@example.com"
FIRST = 1e6  # the weight of one that is asked first, but for one time in a million


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of breakers is never old enough to wait for."""
    monkeypatch.setattr(breakers_module, "CACHE_MS", 0)


def provider(name: str, weight: float = 1.0) -> ScriptedProvider:
    return ScriptedProvider(name=name, breaker=name, terms=ProviderTerms(weight=weight))


def to(channel: str = "email", **given: Any) -> Delivery:
    return delivery(channel=channel, options=Options(to=To(**{channel: ADDRESS})), **given)


def disable(chain: Chain, *names: str) -> None:
    for name in names:
        wiring.provider_switches(chain.context.settings).disable(name, SwitchedOff(at_ms=1))


def test_the_others_take_what_it_is_not_given(chain: Chain) -> None:
    off, good = provider("off", FIRST), provider("good")
    chain.provide("email", off, good)
    assert Counter(chain.run(*(to() for _ in range(3))).told) == {("sent", ""): 3}
    assert good.calls == []
    disable(chain, "off")
    assert Counter(chain.run(*(to() for _ in range(3))).told) == {("sent", ""): 3}
    assert (len(off.calls), len(good.calls)) == (3, 3)
    wiring.provider_switches(chain.context.settings).enable("off")
    chain.run(to())
    assert len(off.calls) == 4


def test_it_takes_over_from_nobody(chain: Chain) -> None:
    bad, off = provider("bad", FIRST), provider("off")
    bad.answers[ADDRESS] = TransientError(Reason.PROVIDER_TRANSIENT, "500")
    chain.provide("email", bad, off)
    disable(chain, "off")
    assert chain.run(to()).told == [("parked", "provider_transient")]
    assert off.calls == []


@pytest.mark.parametrize("channel", ["email", "webhook"], ids=["a lane's", "a target's"])
def test_with_all_of_them_disabled_everything_stays_open(chain: Chain, channel: str) -> None:
    one, other = provider("one"), provider("other")
    chain.provide(channel, one, other)
    disable(chain, "one", "other")
    some = [to(channel) for _ in range(4)]
    ran = chain.run(*some)
    assert ran.told == [("open", "breaker_open")] * 4
    assert (one.calls, other.calls, chain.parked()) == ([], [], [])
    assert {chain.claim(each.id)[1] for each in some} == {"f"}
    wiring.provider_switches(chain.context.settings).enable("other")
    assert chain.run(*some).told == [("sent", "")] * 4


def test_one_for_whole_batches_may_be_disabled_too(chain: Chain) -> None:
    chain.run(delivery(channel="log"))
    disable(chain, "log")
    chain.context.breakers.state("any")
    assert chain.run(delivery(channel="log")).told == [("open", "breaker_open")]
