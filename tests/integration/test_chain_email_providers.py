"""SMTP, SES and Resend of one file in the chain: by weight, and the next one where one does not take it."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from email import message_from_bytes
from pathlib import Path
from typing import cast

import pytest

from app.domain.delivery import Delivery
from app.domain.event import Options, To
from infrastructure.channels.configured import configured
from tests.support.chain import Chain
from tests.support.deliveries import delivery
from tests.support.sigv4 import fault
from tests.support.smtp_receiver import SmtpReceiver, smtp_receiver
from tests.support.webhook_receiver import Answer, WebhookReceiver, answering, drop, webhook_receiver

ADDRESS = "anna@example.com"
#: Weights of one that is asked first, and of one that is asked last, but for one delivery in a million.
FIRST, LAST = 1e6, 1e-6
RESEND_QUOTA = answering(429, b'{"name": "daily_quota_exceeded", "message": "", "statusCode": 429}', retry_after="1")
SES_RATE = answering(429, b'{"message": "Maximum sending rate exceeded."}', x_amzn_errortype="TooManyRequestsException")
SES_REFUSED = answering(403, b'{"message": "x"}', x_amzn_errortype="UnrecognizedClientException")
SES_REJECTED = answering(400, b'{"message": "x"}', x_amzn_errortype="MessageRejected")


class Outside:
    """The three providers' other ends; `ses` and `resend` say yes as those do, unless told otherwise."""

    def __init__(self, smtp: SmtpReceiver, ses: WebhookReceiver, resend: WebhookReceiver) -> None:
        self.smtp, self.ses, self.resend = smtp, ses, resend

    def delivery_ids(self) -> dict[str, list[str]]:
        """What each took or refused, in its own words."""
        mails = [message_from_bytes(cast("bytes", one.content)) for one in self.smtp.mails]
        return {
            "relay": [str(mail["Message-ID"])[1:].partition("@")[0] for mail in mails],
            "ses": [json.loads(one.body)["EmailTags"][0]["Value"] for one in self.ses.requests],
            "resend": [one.headers["idempotency-key"] for one in self.resend.requests],
        }

    def mails_of_ses(self) -> list[bytes]:
        """As SES would send them."""
        return [base64.b64decode(json.loads(one.body)["Content"]["Raw"]["Data"]) for one in self.ses.requests]


@pytest.fixture
def outside() -> Iterator[Outside]:
    with ExitStack() as stack:
        yield Outside(
            stack.enter_context(smtp_receiver()),
            stack.enter_context(webhook_receiver()),
            stack.enter_context(webhook_receiver()),
        )


@pytest.fixture
def set_up(chain: Chain, outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetUp]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    (tmp_path / "resend.key").write_text("re_123\n")
    made = SetUp(chain, outside, tmp_path)
    yield made
    made.close()


class SetUp:
    """The chain with the three of one file."""

    def __init__(self, chain: Chain, outside: Outside, folder: Path) -> None:
        self._chain, self._outside, self._folder = chain, outside, folder
        self._exits = ExitStack()

    def weigh(self, relay: float = 1, ses: float = 1, resend: float = 1) -> None:
        """Provide email by a file with these weights."""
        outside, path = self._outside, self._folder / "providers.toml"
        path.write_text(f"""
            [[provider]]
            kind = "smtp"
            name = "relay"
            weight = {relay}
            url = "{outside.smtp.url}"

            [[provider]]
            kind = "ses"
            name = "ses"
            weight = {ses}
            region = "eu-west-1"
            endpoint = "http://127.0.0.1:{outside.ses.port}"
            access_key_id = {{ env = "AWS_ACCESS_KEY_ID" }}
            secret_access_key = {{ env = "AWS_SECRET_ACCESS_KEY" }}

            [[provider]]
            kind = "resend"
            name = "resend"
            weight = {resend}
            url = "http://127.0.0.1:{outside.resend.port}"
            api_key = {{ file = "{self._folder / "resend.key"}" }}
        """)
        providers = list(configured("email", dataclasses.replace(self._chain.context.settings, providers=path)))
        for provider in providers:
            self._exits.callback(provider.close)
        self._chain.provide("email", *providers)

    def close(self) -> None:
        """Hang up."""
        self._exits.close()


def to(**given: object) -> Delivery:
    return delivery(channel="email", options=Options(to=To(email=ADDRESS)), **given)


def test_they_share_deliveries_by_weight_and_each_carries_the_delivery_id(
    chain: Chain, outside: Outside, set_up: SetUp
) -> None:
    set_up.weigh(relay=4, ses=1, resend=1)
    some = [to() for _ in range(120)]
    ran = chain.run(*some)
    assert Counter(ran.told) == {("sent", ""): 120}
    taken = outside.delivery_ids()
    assert sorted(itertools.chain.from_iterable(taken.values())) == sorted(one.id for one in some), (
        "each once, by one of them"
    )
    by_name = {name: sorted(one.delivery_id for one in ran.outcomes if one.provider == name) for name in taken}
    assert by_name == {name: sorted(ids) for name, ids in taken.items()}
    assert len(taken["relay"]) > max(len(taken["ses"]), len(taken["resend"]))
    assert all(taken.values())  # (5/6)^120 is the chance that one of them gets none
    scope = "AKIDEXAMPLE/*/eu-west-1/ses/aws4_request"
    assert {fault(request, "wJalrXUtnFEMI", scope) for request in outside.ses.requests} == {""}


def test_ses_sends_what_smtp_would(chain: Chain, outside: Outside, set_up: SetUp) -> None:
    set_up.weigh(ses=FIRST)
    one = to(content="Suspicious login")
    chain.run(one)
    [mail] = outside.mails_of_ses()
    assert f"Message-ID: <{one.id}@".encode() in mail
    assert b"Suspicious login" in mail


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SES_RATE, "provider_throttled: HTTP 429, TooManyRequestsException"),
        (
            SES_REFUSED,
            "provider_transient: HTTP 403, UnrecognizedClientException: account or settings",
        ),
    ],
    ids=["throttled", "credentials refused"],
)
def test_what_ses_does_not_take_the_next_one_is_given(
    chain: Chain, outside: Outside, set_up: SetUp, answer: Answer, said: str
) -> None:
    set_up.weigh(ses=FIRST, relay=LAST)
    outside.ses.then(answer)
    one = to()
    ran = chain.run(one)
    assert outside.delivery_ids() == {"relay": [], "ses": [one.id], "resend": [one.id]}
    [outcome] = ran.outcomes
    assert (outcome.status, outcome.provider, outcome.attempt) == ("sent", "resend", 2)
    assert outcome.detail == f"after ses: {said}"
    assert chain.parked() == []


def test_a_quota_that_is_used_up_at_resend_and_a_relay_that_says_later_leave_it_to_ses(
    chain: Chain, outside: Outside, set_up: SetUp
) -> None:
    set_up.weigh(resend=FIRST, ses=LAST)
    outside.resend.then(RESEND_QUOTA)
    outside.smtp.then("mail", "451 later")
    [outcome] = chain.run(to()).outcomes
    assert (outcome.status, outcome.provider, outcome.attempt) == ("sent", "ses", 3)
    assert "after resend: provider_throttled: HTTP 429, daily_quota_exceeded" in outcome.detail
    assert "after relay: provider_transient: 451 at mail" in outcome.detail


def test_what_ses_rejects_nobody_else_is_asked(chain: Chain, outside: Outside, set_up: SetUp) -> None:
    set_up.weigh(ses=FIRST)
    outside.ses.then(SES_REJECTED)
    assert chain.run(to()).told == [("failed", "provider_rejected")]
    assert outside.delivery_ids()["resend"] == outside.delivery_ids()["relay"] == []


@pytest.mark.parametrize(("event_type", "told"), [("any", ("sent", "")), ("unsure", ("unknown", "in_doubt"))])
def test_an_answer_that_never_came_goes_by_the_event_type(
    chain: Chain, outside: Outside, set_up: SetUp, event_type: str, told: tuple[str, str]
) -> None:
    set_up.weigh(resend=FIRST)
    outside.resend.then(drop)
    assert chain.run(to(event_type=event_type)).told == [told]
    assert len(outside.resend.requests) == 1, "it is not asked again by itself"
    assert len(outside.ses.requests) + len(outside.smtp.mails) == (1 if told == ("sent", "") else 0)


def test_with_a_quota_used_up_and_nobody_else_it_is_parked_for_longer_and_spends_no_retry(
    chain: Chain, outside: Outside, set_up: SetUp
) -> None:
    set_up.weigh()
    chain.provide("email", *[one for one in chain.context.channels.providers("email") if one.name == "resend"])
    outside.resend.then(RESEND_QUOTA)
    now_ms = chain.context.now_ms()
    assert chain.run(to()).told == [("parked", "provider_throttled")]
    [row] = chain.parked()
    assert row.delivery.retries == 0
    assert 600_000 <= row.due_at_ms - now_ms <= 670_000
